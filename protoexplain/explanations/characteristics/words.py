"""Sentences that say what a match or a prototype rests on, and no more than the numbers do.

Every characteristic gets one verdict from a calibrated score (see `calibration`) and an interval around it.  Where the
interval leaves the question open, the sentence says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import NormalDist
from typing import Final

from protoexplain.explanations.characteristics.calibration import StrengthCalibration
from protoexplain.explanations.characteristics.global_scores import CONFIDENCE, Number
from protoexplain.explanations.characteristics.table import Characteristics

MATTERS_ABOVE: Final = 1.0
"""A characteristic matters where its calibrated score is surely above this: the average disturbance of prototypes that
have nothing to do with the image."""
IRRELEVANT_BELOW: Final = 0.5
"""It does not matter where its score is surely within this, up or down."""
PHRASES: Final[Mapping[str, str]] = {
    "contrast": "contrast",
    "saturation": "how strong the colours are",
    "hue": "the hue",
    "shape": "the shape",
    "texture": "fine texture",
    "brightness": "brightness",
}


class Verdict(Enum):
    """What a score and its interval allow to say."""

    MATTERS = "matters"
    IRRELEVANT = "does not matter"
    HINDERS = "hinders"
    OPEN = "open"


@dataclass(frozen=True)
class Trait:
    """One characteristic of a prototype or match.

    Args:
        name: Of the characteristic.
        score: Calibrated.
        low: Of the interval.
        high: Of the interval.
        share: Of the similarity that is lost with the characteristic; None where unknown.
    """

    name: str
    score: float
    low: float
    high: float
    share: Number

    @property
    def verdict(self) -> Verdict:
        if self.low > MATTERS_ABOVE:
            return Verdict.MATTERS
        if self.high < -MATTERS_ABOVE:
            return Verdict.HINDERS
        if self.low > -IRRELEVANT_BELOW and self.high < IRRELEVANT_BELOW:
            return Verdict.IRRELEVANT
        return Verdict.OPEN


def prototype_findings(found: Characteristics, prototype: int) -> tuple[Trait, ...]:
    """Global findings of a prototype, the largest score first; empty where nothing was measured."""
    table, usual = found.calibrated, found.activation[prototype]
    rows = zip(found.names, table.value[prototype], table.low[prototype], table.high[prototype], strict=True)
    findings = [
        Trait(name, value, low, high, value * found.calibration.scale[name] / usual if usual else None)
        for name, value, low, high in rows
        if value is not None and low is not None and high is not None
    ]
    return _ordered(findings)


def match_findings(
    scores: Mapping[str, float],
    activation: float,
    calibration: StrengthCalibration,
    prototype: int,
    confidence: float = CONFIDENCE,
) -> tuple[Trait, ...]:
    """Findings of one match, the largest score first; empty where its noise was not measured.

    The interval is what the score wavers when the image moves by a pixel, for all characteristics together.

    Args:
        scores: Characteristic -> local score, taken at the strengths of the calibration.
        activation: Of the match.
        calibration: Of the model.
        prototype: Number of the prototype.
        confidence: That all intervals hold together (Bonferroni, normal).
    """
    noise = calibration.noise[prototype]
    if noise is None:
        return ()
    reach = NormalDist().inv_cdf(1 - (1 - confidence) / (2 * len(scores))) * noise
    findings = []
    for name, score in scores.items():
        scale = calibration.scale[name]
        if scale > 0:
            share = score / activation if activation > 0 else None
            findings.append(Trait(name, score / scale, (score - reach) / scale, (score + reach) / scale, share))
    return _ordered(findings)


def by_verdict(findings: Sequence[Trait]) -> dict[Verdict, tuple[str, ...]]:
    """Verdict -> the characteristics that it fits, in words; verdicts that fit none are left out."""
    found = {verdict: tuple(PHRASES[one.name] for one in findings if one.verdict is verdict) for verdict in Verdict}
    return {verdict: names for verdict, names in found.items() if names}


def about_prototype(found: Characteristics, prototype: int, name: str = "this prototype") -> str:
    """What a prototype rests on, in the images of its class.

    Args:
        found: Of the model.
        prototype: Number of the prototype.
        name: For people, such as "prototype 3 (Wren)".
    """
    findings, images = prototype_findings(found, prototype), found.matched_images[prototype]
    if not findings:
        return f"What {name} rests on was not measured: too few images of its class show it."
    return _sentence(name, findings, found.confidence, f"{images} image{'s' * (images != 1)}")


def about_match(findings: Sequence[Trait], name: str = "this match", confidence: float = CONFIDENCE) -> str:
    """What the match of a prototype with one image rests on."""
    if not findings:
        return f"What {name} rests on was not measured."
    return _sentence(name, findings, confidence, "this image alone")


def _sentence(name: str, findings: Sequence[Trait], confidence: float, basis: str) -> str:
    """Claims first, then what stays open, then how sure the claims are."""
    of = {verdict: [one for one in findings if one.verdict is verdict] for verdict in Verdict}
    parts = []
    if of[Verdict.MATTERS]:
        surely_first = len(findings) > 1 and findings[0].low > findings[1].high
        parts.append(f"{name} rests {'mainly ' if surely_first else ''}on {_with_shares(of[Verdict.MATTERS])}")
    if of[Verdict.HINDERS]:
        parts.append(f"{'it' if parts else name} would match better without {_listed(of[Verdict.HINDERS])}")
    if of[Verdict.IRRELEVANT]:
        lead = "" if parts else f"for {name} "
        one = len(of[Verdict.IRRELEVANT]) == 1
        parts.append(f"{lead}{_listed(of[Verdict.IRRELEVANT])} hardly matter{'s' if one else ''}")
    if not parts:
        return f"Which characteristics matter to {name} stays open ({basis})."
    if of[Verdict.OPEN]:
        one = len(of[Verdict.OPEN]) == 1
        parts.append(f"whether {_listed(of[Verdict.OPEN])} matter{'s' if one else ''} stays open")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]} ({100 * confidence:.0f} % sure, {basis})."


def _with_shares(findings: Sequence[Trait]) -> str:
    """The first with what its loss means, the others with the number alone."""
    phrases = []
    for place, one in enumerate(findings):
        share = "" if one.share is None else f"{100 * min(one.share, 1):.0f} %"
        meaning = f" (changing it takes away {share} of the match)" if place == 0 else f" ({share})"
        phrases.append(PHRASES[one.name] + (meaning if share else ""))
    return _joined(phrases)


def _listed(findings: Sequence[Trait]) -> str:
    return _joined([PHRASES[one.name] for one in findings])


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _ordered(findings: Sequence[Trait]) -> tuple[Trait, ...]:
    return tuple(sorted(findings, key=lambda one: -one.score))
