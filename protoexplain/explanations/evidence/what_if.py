"""What if the picture were otherwise?  A picture is edited, looked at again, and both answers are compared.

Characteristics are changed as in Nauta et al. 2020 (`perturbations`), in the whole picture or in a part of it, and a
part can be blanked out.  One forward pass tells the new answer.  The changes of evidence add up to the change of the
score, or, where another class wins, to the change of the lead over it.  P prototypes, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from protoexplain.errors import UserError, nearest_name
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS, RGB
from protoexplain.explanations.characteristics.variants import Change, changed
from protoexplain.explanations.evidence.match import Match, matches
from protoexplain.explanations.forward_pass import ForwardPass, Prediction
from protoexplain.io.cache import DiskCache
from protoexplain.regions.box_rules import DEFAULT, BoxRule

ORDER: Final = ("texture", "contrast", "saturation", "hue", "brightness", "shape")
"""Changes are made one after the other.  Texture, which is slow, comes first: it then depends on its own strength
alone and is found in the cache.  Outlines are bent last, so that all else is done to the picture as it lies."""
_GREY: Final = 128
_BLUR: Final = 0.08
"""Standard deviation of the blur, as a share of the shorter side: no part of an object is left."""


def _grey(rgb: RGB) -> RGB:
    return np.full_like(rgb, _GREY)


def _mean(rgb: RGB) -> RGB:
    return np.broadcast_to(rgb.mean((0, 1)).round().astype(np.uint8), rgb.shape)


def _blurred(rgb: RGB) -> RGB:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), max(_BLUR * min(rgb.shape[:2]), 1.0)), np.uint8)


FILLS: Final[Mapping[str, Callable[[RGB], RGB]]] = {"grey": _grey, "mean": _mean, "blur": _blurred}
"""What blanks a part: medium grey, the mean colour of the picture, or the picture so blurred that no part is left."""


@dataclass(frozen=True, eq=False)
class Edit:
    """What is done to a picture.

    Args:
        strengths: Characteristic -> strength, in the unit of its modification; what is not named stays.
        area: bool [h,w], laid over the picture whatever its size: the part that is meant; None for all of it.
        fill: Name in `FILLS`: the area is blanked, and the strengths hold everywhere.  None: the strengths hold in the
            area alone.

    Raises:
        UserError: No such characteristic or fill, or a strength outside its range.
    """

    strengths: Mapping[str, float]
    area: NDArray[np.bool_] | None = None
    fill: str | None = None

    def __post_init__(self) -> None:
        if self.fill is not None and self.fill not in FILLS:
            raise UserError(f"nothing can be blanked with '{self.fill}'", "", nearest_name(self.fill, list(FILLS)))
        for name, strength in self.strengths.items():
            if name not in MODIFICATIONS:
                raise UserError(f"no characteristic '{name}'", "", nearest_name(name, list(MODIFICATIONS)))
            known = MODIFICATIONS[name]
            if not known.low <= strength <= known.high:
                fix = f"choose {known.low:g} to {known.high:g} {known.unit}; {known.neutral:g} changes nothing"
                raise UserError(f"{name} cannot be {strength:g}", "", fix)

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is not neutral, in the order in which it is done."""
        found = ((name, self.strengths.get(name, MODIFICATIONS[name].neutral)) for name in ORDER)
        return tuple((name, strength) for name, strength in found if strength != MODIFICATIONS[name].neutral)

    def __call__(self, rgb: RGB, cache: DiskCache | None = None) -> RGB:
        """The edited picture.

        Args:
            rgb: uint8 [H,W,3] at native size.
            cache: Of slow changes, see `variants.texture_cache`.
        """
        edited = rgb
        for name, strength in self.changes:
            edited = changed(edited, name, strength, cache)
        if self.area is None:
            return edited.copy() if edited is rgb else edited
        height, width = rgb.shape[:2]
        inside = cv2.resize(self.area.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
        within, without = (edited, rgb) if self.fill is None else (FILLS[self.fill](edited), edited)
        return np.where(inside[..., None], within, without)


@dataclass(frozen=True)
class ClassChange:
    """A class in both pictures."""

    before: Prediction
    after: Prediction

    @property
    def change(self) -> float:
        """Of the probability."""
        return self.after.probability - self.before.probability


@dataclass(frozen=True)
class EvidenceChange:
    """A prototype in both pictures.

    Args:
        before: Where it was found, and what it said about the class that was named.
        after: The same in the edited picture.
        evidence_before: For the question: for the class that was named, against the new one where there is one.
        evidence_after: The same in the edited picture.
    """

    before: Match
    after: Match
    evidence_before: float
    evidence_after: float

    @property
    def change(self) -> float:
        """Of the evidence; negative where the class that was named lost by it."""
        return self.evidence_after - self.evidence_before


@dataclass(frozen=True)
class WhatIf:
    """What an edit does to the answer.

    Args:
        named: The class that the model names in the picture as it is.
        rival: The class that it names in the edited one, where it is another.
        classes: The most probable classes of either picture, in the order of the picture as it is.
        losses: Prototypes by which the named class loses, largest loss first.
        gains: Prototypes by which it gains, largest gain first.
        remainder: Change of the evidence of all other prototypes.
    """

    named: ClassChange
    rival: ClassChange | None
    classes: tuple[ClassChange, ...]
    losses: tuple[EvidenceChange, ...]
    gains: tuple[EvidenceChange, ...]
    remainder: float

    @property
    def change(self) -> float:
        """Of the score of the named class, or of its lead over the rival."""
        own = self.named.after.score - self.named.before.score
        return own if self.rival is None else own - (self.rival.after.score - self.rival.before.score)

    def check(self) -> float:
        """How far the parts are from adding up, by the size of the scores where those are above one."""
        parts = sum(entry.change for entry in (*self.losses, *self.gains)) + self.remainder
        return abs(parts - self.change) / max(1.0, abs(self.named.before.score), abs(self.named.after.score))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "change": self.change, "additive_error": self.check()}


def what_if(
    before: ForwardPass, after: ForwardPass, rows: int = 5, top_classes: int = 5, box_rule: BoxRule = DEFAULT
) -> WhatIf:
    """Compare what one model makes of a picture and of its edited version.

    Args:
        before: The picture as it is.
        after: The edited one.
        rows: Prototypes in each list; those that do not change are in none.
        top_classes: Of each picture.
        box_rule: How boxes are drawn.
    """
    ranked = before.ranked
    labels = list(dict.fromkeys([ranked[0], after.ranked[0]]))
    parts = [_evidence(forward_pass, labels) for forward_pass in (before, after)]
    change = parts[1] - parts[0]
    order = change.argsort(stable=True)
    losses = [p for p in order[:rows].tolist() if change[p] < 0]
    gains = [p for p in order.flip(0)[:rows].tolist() if change[p] > 0]
    named = [*losses, *gains]
    places = [matches(forward_pass, labels[:1], named, box_rule)[0] for forward_pass in (before, after)]
    changes = {p: EvidenceChange(places[0][p], places[1][p], float(parts[0][p]), float(parts[1][p])) for p in named}
    shown = {*ranked[:top_classes], *after.ranked[:top_classes]}
    classes = {
        label: ClassChange(before.prediction(label), after.prediction(label)) for label in ranked if label in shown
    }
    return WhatIf(
        named=classes[labels[0]],
        rival=classes[labels[1]] if len(labels) > 1 else None,
        classes=tuple(classes.values()),
        losses=tuple(changes[p] for p in losses),
        gains=tuple(changes[p] for p in gains),
        remainder=float(change.sum() - change[named].sum()),
    )


def _evidence(forward_pass: ForwardPass, labels: Sequence[int]) -> torch.Tensor:
    """[P] for the first class, against the second where there is one."""
    evidence = forward_pass.evidence(labels)
    parts = evidence.presence + evidence.absence
    return parts[:, 0] - parts[:, 1] if len(labels) > 1 else parts[:, 0]
