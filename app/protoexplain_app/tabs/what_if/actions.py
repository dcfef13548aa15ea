"""What if the picture were otherwise: sliders and a painted part, and what they do to the answer."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.explanations.evidence.what_if import Edit, EvidenceChange, WhatIf, what_if
from protoexplain.explanations.explainer import Explainer
from protoexplain.models.contract import EvidenceKind
from protoexplain.view.image_pictures import ImagePictures
from protoexplain.view.pictures import Picture
from protoexplain.view.sentences import LEAST
from protoexplain_app.input_image import ForwardResults, InputImage, run_model
from protoexplain_app.links import Parameters
from protoexplain_app.pictures import ServedPictures, prototype_picture

CELLS: Final = 32
"""Rows and columns of the grid that is painted on; it fits into an address."""
ONLY: Final = "only"
"""Use of the painted part: the sliders change nothing else."""
USES: Final[Mapping[str, str]] = {
    "grey": "is blanked: grey",
    "mean": "is blanked: mean colour of the picture",
    "blur": "is blurred",
    ONLY: "alone is changed by the sliders",
}
LARGEST: Final = 768
"""Larger pictures are scaled down first, so that every change is quick."""
ROWS, SIDE, MAX_RESULTS = 3, 200, 8


@dataclass(frozen=True)
class Slider:
    """How a characteristic is changed.

    Args:
        name: Of the modification.
        title: For people.
        question: What the published strength asks, after "What if".
        help: What the slider does, in a sentence or two.
        step: Of the slider.
        shown: Factor and unit in which people read the strength; by default as the modification counts it.
    """

    name: str
    title: str
    question: str
    help: str
    step: float
    shown: tuple[float, str] | None = None

    def scale(self) -> float:
        """Factor from the strength to what is shown."""
        return self.shown[0] if self.shown else 1.0

    def unit(self) -> str:
        """Of what is shown."""
        return self.shown[1] if self.shown else MODIFICATIONS[self.name].unit


SLIDERS: Final = (
    Slider(
        "hue",
        "Hue",
        "colours were others",
        "Turns all colours around the colour circle: red becomes orange, then yellow, then green. At half a turn each "
        "colour is its opposite. Greys stay as they are.",
        0.01,
        (360.0, "degrees of the colour circle"),
    ),
    Slider(
        "saturation",
        "Strength of colours",
        "colours were paler",
        "Makes colours paler or stronger. At 0 the picture is grey: no colour is left.",
        0.05,
    ),
    Slider(
        "contrast",
        "Contrast",
        "contrast were lower",
        "Moves light and dark closer together or further apart. At 0 all is one grey.",
        0.05,
    ),
    Slider(
        "brightness", "Brightness", "it were darker", "Makes the picture darker or lighter. At 0 it is black.", 0.05
    ),
    Slider(
        "texture",
        "Smoothing of texture",
        "fine texture were gone",
        "Wipes out fine texture and keeps edges (non-local means). Up to about 10 only the finest texture goes; at 30 "
        "feathers become smooth areas. The first time takes a moment.",
        1,
    ),
    Slider(
        "shape",
        "Bending of outlines",
        "outlines were bent",
        "Bends all outlines by waves of so many pixels; colours and texture stay.",
        0.5,
    ),
)


@dataclass(frozen=True)
class Query:
    """What is changed.

    Args:
        strengths: Characteristic -> strength; neutral ones are left out.
        area: The painted cells, row by row, as bits in URL-safe base64; empty where nothing is painted.
        use: Of `USES`: what is done with the painted part.
    """

    strengths: Mapping[str, float] = field(default_factory=dict)
    area: str = ""
    use: str = "grey"

    @property
    def edit(self) -> Edit:
        painted = cells(self.area)
        return Edit(self.strengths, painted, None if self.use == ONLY or painted is None else self.use)

    @property
    def parameters(self) -> dict[str, object]:
        """Of an address."""
        strengths = {name: f"{strength:g}" for name, strength in self.strengths.items()}
        return {**strengths, "area": self.area, "use": self.use if self.area else ""}

    def value(self, name: str) -> float:
        return self.strengths.get(name, MODIFICATIONS[name].neutral)


def parse_query(parameters: Parameters) -> Query:
    """From the parameters of an address or the fields of the form; what is missing or wrong is not changed."""
    strengths = {}
    for name, known in MODIFICATIONS.items():
        try:
            asked = float(parameters.get(name, known.neutral))
        except ValueError:
            continue
        strength = min(max(asked, known.low), known.high) if math.isfinite(asked) else known.neutral
        if strength != known.neutral:
            strengths[name] = strength
    area, use = parameters.get("area", ""), parameters.get("use", "")
    return Query(strengths, area if cells(area) is not None else "", use if use in USES else "grey")


def cells(area: str) -> NDArray[np.bool_] | None:
    """The painted cells [CELLS,CELLS]; None where nothing is painted, or the text is none of ours."""
    try:
        packed = base64.b64decode(area + "=" * (-len(area) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(packed) != CELLS * CELLS // 8:
        return None
    painted = np.unpackbits(np.frombuffer(packed, np.uint8)).astype(bool).reshape(CELLS, CELLS)
    return painted if painted.any() else None


@dataclass(frozen=True)
class EvidenceChangeView:
    """A prototype whose evidence changes.

    Args:
        numbers: Similarity and evidence in both pictures.
        owner: Its class, None where all classes share it.
        patch: Its training patch, None where it has none.
        before: Where the picture looks most like it.
        after: The same in the changed picture.
        heat_before: Its heat map, to be laid over `before`.
        heat_after: The same for `after`.
        share: Length of the bar, 0 to 1 of the longest.
    """

    numbers: EvidenceChange
    owner: str | None
    patch: Picture | None
    before: Picture
    after: Picture
    heat_before: Picture
    heat_after: Picture
    share: float


@dataclass(frozen=True)
class WhatIfView:
    """A picture and its changed version, and what a model makes of both.

    Args:
        name: Of the picture.
        before: What the model saw of it.
        after: The same, changed.
        found: What the change does to the answer.
        losses: Prototypes by which the named class loses.
        gains: Prototypes by which it gains.
        rest: The part of the change that is due to all other prototypes.
        by_probability: Whether evidence is measured in probability (else in points of the class score).
        evidence: How it is counted; where it is ``shapley``, scores are relative to the average class.
        changed: Whether anything was changed at all.
        notices: What was done to the picture before.
    """

    name: str
    before: Picture
    after: Picture
    found: WhatIf
    losses: tuple[EvidenceChangeView, ...]
    gains: tuple[EvidenceChangeView, ...]
    rest: float
    by_probability: bool
    evidence: EvidenceKind
    changed: bool
    notices: tuple[str, ...]


def cropped_results(size: int = MAX_RESULTS) -> ForwardResults:
    """What models made of the last pictures, cut to what they see, so that each change costs one forward pass."""
    return ForwardResults(size, lambda explainer, image: explainer.cropped(run_model(explainer, image), LARGEST))


def what_if_view(explainer: Explainer, results: ForwardResults, image: InputImage, query: Query) -> WhatIfView:
    """Change a picture and run the model on it again.

    Raises:
        UserError: The picture cannot be read.
    """
    forward, edit = results.of(explainer, image), query.edit
    changed = bool(edit.changes) or (edit.area is not None and edit.fill is not None)
    edited = explainer.edited(forward, edit) if changed else forward
    found = what_if(forward.forward_pass, edited.forward_pass, ROWS)
    prototypes = ServedPictures(explainer.checkpoint)
    before, after = (ImagePictures(explainer, one, prototypes, side=SIDE) for one in (forward, edited))
    losses, gains = (
        _evidence_changes(explainer, before, after, changes, found) for changes in (found.losses, found.gains)
    )
    listed = sum(entry.numbers.change for entry in (*losses, *gains))
    return WhatIfView(
        name=forward.name,
        before=before.whole(),
        after=after.whole(what="The changed picture"),
        found=found,
        losses=losses,
        gains=gains,
        rest=found.change - listed,
        by_probability=explainer.unit == "probability",
        evidence=forward.forward_pass.evidence_kind,
        changed=changed,
        notices=forward.notices,
    )


def _evidence_changes(
    explainer: Explainer,
    before: ImagePictures,
    after: ImagePictures,
    changes: tuple[EvidenceChange, ...],
    found: WhatIf,
) -> tuple[EvidenceChangeView, ...]:
    """Those that would not be shown as zero, drawn."""
    longest = max((abs(change.change) for change in (*found.losses, *found.gains)), default=1.0)
    return tuple(
        EvidenceChangeView(
            numbers=change,
            owner=explainer.checkpoint.owner_name(change.before.prototype),
            patch=prototype_picture(explainer.checkpoint, change.before.prototype, "patch"),
            before=before.boxed_region(change.before, "The picture as it is, the part marked by a box"),
            after=after.boxed_region(change.after, "The changed picture, the part marked by a box"),
            heat_before=before.heat(change.before),
            heat_after=after.heat(change.after),
            share=abs(change.change) / longest,
        )
        for change in changes
        if abs(change.change) >= LEAST
    )
