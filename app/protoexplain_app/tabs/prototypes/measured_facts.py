"""What measurements say of one prototype: what it rests on, which parts it hits, which other one repeats it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protoexplain.checkpoint.model_card import INTERPRETABILITY
from protoexplain.errors import UserError
from protoexplain.explanations.characteristics.table import Characteristics, known_characteristics
from protoexplain.explanations.characteristics.words import (
    PHRASES,
    Trait,
    about_prototype,
    prototype_findings,
)

PARTS: Final = 8


@dataclass(frozen=True)
class CharacteristicScore:
    """How much a characteristic matters.

    Args:
        title: Of the characteristic.
        score: In multiples of the disturbance of unrelated prototypes.
        low: Of its interval.
        high: Of its interval.
        share: Length of the bar, 0 to 1 of the longest.
        verdict: In a word or two.
    """

    title: str
    score: float
    low: float
    high: float
    share: float
    verdict: str


@dataclass(frozen=True)
class PartShare:
    """How often a prototype hits a part of the object.

    Args:
        name: Of the part.
        share: Of the pictures of the class that show the part, 0 to 1.
        images: How many such pictures there are.
    """

    name: str
    share: float
    images: int


@dataclass(frozen=True)
class MeasuredFacts:
    """All of it.

    Args:
        sentence: What the prototype rests on; empty where that was not measured.
        characteristics: The same in numbers, the largest first.
        parts: That it hits, most often first; empty where that was not measured.
        part: The one that it stands for, None where it stands for none.
        twin: Number of the prototype whose activations are most like its own, and their correlation.
    """

    sentence: str
    characteristics: tuple[CharacteristicScore, ...]
    parts: tuple[PartShare, ...]
    part: str | None
    twin: tuple[int, float] | None


def measured_facts(metrics: Mapping[str, Any], index: int, total: int) -> MeasuredFacts:
    """What a checkpoint's measurements say of a prototype.

    Args:
        metrics: Of the checkpoint; not trusted.
        index: Number of the prototype.
        total: Of all prototypes.
    """
    found = sound_characteristics(metrics, total)
    findings = prototype_findings(found, index) if found else ()
    longest = max((abs(one.score) for one in findings), default=1.0) or 1.0
    parts, part = _parts(_details(metrics, "consistency"), index)
    return MeasuredFacts(
        sentence=about_prototype(found, index, f"prototype {index}") if found else "",
        characteristics=tuple(_trait(one, longest) for one in findings),
        parts=parts,
        part=part,
        twin=_twin(_details(metrics, "redundancy"), index, total),
    )


def sound_characteristics(metrics: Mapping[str, Any], total: int) -> Characteristics | None:
    """As `known_characteristics`; None also where the table is damaged."""
    try:
        return known_characteristics(metrics, total)
    except UserError:
        return None


def _trait(one: Trait, longest: float) -> CharacteristicScore:
    title = PHRASES.get(one.name, one.name)
    share = abs(one.score) / longest
    return CharacteristicScore(title[:1].upper() + title[1:], one.score, one.low, one.high, share, one.verdict.value)


def _details(metrics: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = metrics.get(INTERPRETABILITY)
    entry = table.get(name) if isinstance(table, dict) else None
    details = entry.get("details") if isinstance(entry, dict) else None
    return details if isinstance(details, dict) else {}


def _parts(details: Mapping[str, Any], index: int) -> tuple[tuple[PartShare, ...], str | None]:
    names = details.get("parts")
    shares, images = (_row(details.get(key), index) for key in ("part_frequency", "part_images"))
    if not isinstance(names, list) or not len(names) == len(shares) == len(images):
        return (), None
    parts = [
        PartShare(str(name), float(share), int(count))
        for name, share, count in zip(names, shares, images, strict=True)
        if isinstance(share, int | float) and isinstance(count, int) and count
    ]
    found = sorted((part for part in parts if part.share > 0), key=lambda part: -part.share)
    owner = details.get("part_of_prototype")
    named = owner[index] if isinstance(owner, list) and index < len(owner) else None
    return tuple(found[:PARTS]), named if isinstance(named, str) else None


def _twin(details: Mapping[str, Any], index: int, total: int) -> tuple[int, float] | None:
    twins, correlations = details.get("twin"), details.get("correlation_with_twin")
    if not isinstance(twins, list) or not isinstance(correlations, list):
        return None
    if not len(twins) == len(correlations) == total:
        return None
    twin, correlation = twins[index], correlations[index]
    known = isinstance(twin, int) and 0 <= twin < total and isinstance(correlation, int | float)
    return (twin, float(correlation)) if known else None


def _row(table: object, index: int) -> Sequence[Any]:
    row = table[index] if isinstance(table, list) and index < len(table) else None
    return row if isinstance(row, list) else ()
