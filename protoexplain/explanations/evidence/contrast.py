"""Why one class and not another: the prototypes that separate them.

Evidence for both classes adds up to their scores, so the differences of evidence add up to the difference of scores,
whatever the family.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.explanations.evidence.match import Match, matches
from protoexplain.explanations.forward_pass import ForwardPass, Prediction
from protoexplain.regions.box_rules import DEFAULT, BoxRule


@dataclass(frozen=True)
class Separation:
    """One prototype and what it says about both classes.

    Args:
        for_this: About the class that is asked for.
        for_other: About the other one; prototype, place and patch are the same.
    """

    for_this: Match
    for_other: Match

    @property
    def difference(self) -> float:
        """What the prototype adds to the lead of this class over the other; negative where it favours the other."""
        return self.for_this.evidence - self.for_other.evidence


@dataclass(frozen=True)
class Contrast:
    """Why this class and not the other.

    Args:
        this: The class that is asked for.
        other: The class that it is compared with.
        separations: Prototypes by the size of their difference, largest first.
        remainder: Difference of the evidence of all other prototypes.
        bias: Difference of what no prototype is responsible for.
    """

    this: Prediction
    other: Prediction
    separations: tuple[Separation, ...]
    remainder: float
    bias: float

    @property
    def difference(self) -> float:
        """Lead of this class: difference of the scores; negative where the other class is ahead."""
        return self.this.score - self.other.score

    def total(self) -> float:
        """The lead again, from the parts."""
        return sum(separation.difference for separation in self.separations) + self.remainder + self.bias

    def check(self) -> float:
        """How far the parts are from adding up to the lead, by the size of the scores where those are above one."""
        largest = max(1.0, abs(self.this.score), abs(self.other.score))
        return abs(self.total() - self.difference) / largest

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        content = asdict(self)
        for row, separation in zip(content["separations"], self.separations, strict=True):
            row["difference"] = separation.difference
        return {**content, "difference": self.difference, "additive_error": self.check()}


@dataclass(frozen=True)
class Lead:
    """By how much a class is ahead of another one, as a sum of what some prototypes give and of all the rest.

    Args:
        this: The class that is asked for.
        other: The class that it is compared with.
        parts: Prototype -> what it adds to the lead; negative where it favours the other class.
        rest: What all other prototypes add.
        bias: What no prototype is responsible for.
    """

    this: Prediction
    other: Prediction
    parts: Mapping[int, float]
    rest: float
    bias: float

    @property
    def difference(self) -> float:
        """The lead: difference of the scores; negative where the other class is ahead."""
        return self.this.score - self.other.score

    @property
    def given(self) -> float:
        """What the chosen prototypes give together."""
        return sum(self.parts.values())

    def total(self) -> float:
        """The lead again, from its parts."""
        return self.given + self.rest + self.bias


def lead(forward_pass: ForwardPass, this: int, other: int, prototypes: Iterable[int]) -> Lead:
    """What some prototypes and all others add to the lead of `this` class over the `other`.

    Args:
        forward_pass: The picture.
        this: Label.
        other: Label of another class.
        prototypes: Numbers of those that are told one by one.

    Raises:
        UserError: No such class.
    """
    forward_pass.require_labels([this, other])
    difference, bias = _difference(forward_pass, this, other)
    parts = {prototype: float(difference[prototype]) for prototype in prototypes}
    rest = float(difference.sum()) - sum(parts.values())
    return Lead(forward_pass.prediction(this), forward_pass.prediction(other), parts, rest, bias)


def _difference(forward_pass: ForwardPass, this: int, other: int) -> tuple[Tensor, float]:
    """What each prototype [P] adds to the lead of `this` class over the `other`, and what none is responsible for."""
    evidence = forward_pass.evidence([this, other])
    parts = evidence.presence + evidence.absence
    return parts[:, 0] - parts[:, 1], float(evidence.bias[0] - evidence.bias[1])


def contrast(
    forward_pass: ForwardPass,
    this: int | None = None,
    other: int | None = None,
    rows: int = 10,
    box_rule: BoxRule = DEFAULT,
) -> Contrast:
    """Why `this` and not `other`.

    Args:
        forward_pass: The picture.
        this: Label; the best class by default.
        other: Label; the best one of the others by default.
        rows: Prototypes that are named.
        box_rule: How boxes are drawn.

    Raises:
        UserError: No such class, or twice the same.
    """
    ranked = forward_pass.ranked
    this = ranked[0] if this is None else this
    other = next((label for label in ranked if label != this), this) if other is None else other
    forward_pass.require_labels([this, other])
    if this == other:
        raise UserError("a class cannot be compared with itself", forward_pass.class_names[this], "choose two classes")
    difference, bias = _difference(forward_pass, this, other)
    order = difference.abs().argsort(descending=True, stable=True)
    named, rest = order[:rows].tolist(), order[rows:]
    for_this, for_other = matches(forward_pass, [this, other], named, box_rule)
    return Contrast(
        this=forward_pass.prediction(this),
        other=forward_pass.prediction(other),
        separations=tuple(Separation(for_this[p], for_other[p]) for p in named),
        remainder=float(difference[rest].sum()),
        bias=bias,
    )
