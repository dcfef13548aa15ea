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

from protoexplain.explain.calibration import Calibration
from protoexplain.explain.characteristics import Characteristics
from protoexplain.explain.global_scores import CONFIDENCE, Number

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
class Finding:
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


def prototype_findings(found: Characteristics, prototype: int) -> tuple[Finding, ...]:
    """Global findings of a prototype, the largest score first; empty where nothing was measured."""
    table, usual = found.calibrated, found.activation[prototype]
    rows = zip(found.names, table.value[prototype], table.low[prototype], table.high[prototype], strict=True)
    findings = [
        Finding(name, value, low, high, value * found.calibration.scale[name] / usual if usual else None)
        for name, value, low, high in rows
        if value is not None and low is not None and high is not None
    ]
    return _ordered(findings)


def match_findings(
    scores: Mapping[str, float],
    activation: float,
    calibration: Calibration,
    prototype: int,
    confidence: float = CONFIDENCE,
) -> tuple[Finding, ...]:
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
            findings.append(Finding(name, score / scale, (score - reach) / scale, (score + reach) / scale, share))
    return _ordered(findings)


def about_prototype(found: Characteristics, prototype: int, name: str) -> str:
    """What a prototype looks for, in the images of its class."""
    images = found.matched_images[prototype]
    findings = prototype_findings(found, prototype)
    if not findings:
        return f"What {name} looks for was not measured: no image of its class shows it."
    sureness = f"{found.confidence:.0%} sure, from {images} image{'' if images == 1 else 's'}"
    return _sentence(name, findings, sureness, "more images would tell")


def about_match(findings: Sequence[Finding], name: str = "this match", confidence: float = CONFIDENCE) -> str:
    """What the match of a prototype with one image rests on."""
    if not findings:
        return f"What {name} rests on was not measured."
    return _sentence(name, findings, f"{confidence:.0%} sure, from this image alone", "one image cannot tell")


def _sentence(name: str, findings: Sequence[Finding], sureness: str, open_because: str) -> str:
    groups = {verdict: [one for one in findings if one.verdict is verdict] for verdict in Verdict}
    matters, hinders = groups[Verdict.MATTERS], groups[Verdict.HINDERS]
    parts = []
    if matters:
        parts.append(f"{_capital(name)} rests on {_listed([_with_share(one) for one in matters])}")
    if hinders:
        parts.append(f"it would be closer without {_listed([PHRASES[one.name] for one in hinders])}")
    if groups[Verdict.IRRELEVANT]:
        irrelevant = groups[Verdict.IRRELEVANT]
        parts.append(
            f"{_listed([PHRASES[one.name] for one in irrelevant])} hardly matter{'s' * (len(irrelevant) == 1)}"
        )
    if not parts:
        return f"No characteristic stands out for {name}: {open_because}."
    unknown = groups[Verdict.OPEN]
    ending = f"; {_listed([PHRASES[one.name] for one in unknown])}: open" if unknown else ""
    return _capital(f"{'; '.join(parts)} ({sureness}){ending}.")


def _with_share(finding: Finding) -> str:
    phrase = PHRASES[finding.name]
    if finding.share is None:
        return phrase
    return f"{phrase} (changing it takes away {min(finding.share, 1):.0%} of the match)"


def _ordered(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda one: -one.score))


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
