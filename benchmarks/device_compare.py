"""How far numbers of a device lie from those of the CPU, and how far they may.

Differences are relative to the largest number of the CPU, those of similarities to the range of the similarity maps: a
patch that was written into its prototype has a distance of zero, and nothing is small beside that.  Cells that were
chosen otherwise are judged by what the choice costs: how much less similar the chosen cell is on the CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from lightning_fabric import Fabric
from torch import Tensor

from protoexplain.models.base import PrototypeModel
from protoexplain.models.precision import exact
from protoexplain.training.projection import search, to_cpu

FABRIC = {"float32": "32-true", "tf32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
"""Name of a precision -> the package's `training.precision`."""
ALLOWED = {"float32": 1e-3, "tf32": 2e-2, "bfloat16": 1.5e-1, "float16": 2e-2}
"""Largest relative deviation of one forward pass in a precision."""
AFTER_TRAINING = 10
"""What a refitted head does may deviate so many times further than what it was fitted to."""


@dataclass(frozen=True)
class Deviation:
    """Largest relative difference of something, and how large it may be; a missing number fails."""

    what: str
    largest: float
    allowed: float

    @property
    def passed(self) -> bool:
        return self.largest <= self.allowed


@dataclass
class Told:
    """What is worth telling beside deviations."""

    notes: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


def set_arithmetic(precision: str) -> None:
    """Let float32 products and convolutions of this process be rounded to TF32, or not."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def whole_passes(precision: str) -> float:
    """Largest deviation outside of training, where mixed precision is not used."""
    return ALLOWED["tf32" if precision == "tf32" else "float32"]


def relative(there: Tensor, here: Tensor) -> float:
    """Largest difference, relative to the largest number of the second; NaN where a number is missing or infinite."""
    if not here.numel():
        return 0.0
    one, other = exact(there.detach()), exact(here.detach())
    difference, size = float((one - other).abs().max()), float(other.abs().max())
    return difference / size if size else difference


def numbers_of(content: object) -> list[float]:
    """All numbers of JSON-ready content in order; truth values count."""
    if isinstance(content, Mapping):
        return [number for key in sorted(content, key=str) for number in numbers_of(content[key])]
    if isinstance(content, list | tuple):
        return [number for value in content for number in numbers_of(value)]
    return [float(content)] if isinstance(content, int | float) else []


def of_forward(fabric: Fabric, model: PrototypeModel, images: Tensor, precision: str) -> list[Deviation]:
    """One forward pass of a model on the CPU against one on the device in a precision.

    Args:
        fabric: Device and precision.
        model: On the CPU.
        images: [B,3,S,S] on the CPU.
        precision: Its name.
    """
    there = fabric.to_device(copy.deepcopy(model).eval())
    with torch.no_grad():
        with fabric.autocast():
            found = there(fabric.to_device(images))
        expected = model.eval()(images)
        features = model.backbone(images)
        cost = max(
            _cost_of_cells(branch.similarity_maps(features), found.branches[name].cells.cpu())
            for name, branch in model.named_branches()
        )
    allowed = ALLOWED[precision]
    return [
        Deviation("logits", relative(found.logits, expected.logits), allowed),
        Deviation("activations", relative(found.activations, expected.activations), allowed),
        Deviation("nearest cells", cost, allowed),
    ]


def _cost_of_cells(maps: Tensor, cells: Tensor) -> float:
    """What the choice of cells [B,P] costs on maps [B,P,H,W]."""
    flat = maps.flatten(2)
    chosen = flat.gather(2, cells[:, :, None])[:, :, 0]
    return float((flat.amax(2) - chosen).max()) / _spread(maps)


def _spread(maps: Tensor) -> float:
    """From the least similar cell to the most similar one; 1 where all are equal."""
    return float(maps.amax() - maps.amin()) or 1.0


def of_search(
    fabric: Fabric, model: PrototypeModel, images: Tensor, labels: Tensor, precision: str
) -> tuple[list[Deviation], str]:
    """The nearest patches of all prototypes on the CPU against those on the device, and how many lie elsewhere."""
    batch = (images, labels, torch.arange(len(labels)))
    here = search(model.eval(), [batch])
    there = search(fabric.to_device(copy.deepcopy(model)).eval(), [tuple(fabric.to_device(each) for each in batch)])
    with torch.no_grad():
        features = model.backbone(images)
        spreads = [_spread(branch.similarity_maps(features)) for _, branch in model.named_branches()]
    similarity, patches, moved, total = 0.0, 0.0, 0, 0
    for expected, found, spread in zip(here, map(to_cpu, there), spreads, strict=True):
        places = [torch.stack([p.image, p.row, p.column]) for p in (expected, found)]
        same = (places[0] == places[1]).all(0)
        known = expected.found & found.found
        difference = (exact(found.similarity[known]) - exact(expected.similarity[known])).abs()
        similarity = max(similarity, *(difference / spread).tolist())
        patches = max(patches, relative(found.patch[same], expected.patch[same]))
        moved, total = moved + int((~same).sum()), total + len(same)
    allowed = whole_passes(precision)
    deviations = [
        Deviation("similarity of projected patches", similarity, allowed),
        Deviation("projected patches", patches, allowed),
    ]
    return deviations, f"{moved} of {total} patches lie elsewhere"
