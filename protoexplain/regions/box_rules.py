"""Where the box around the best place of a prototype is drawn.

The default is the connected component of the peak among the pixels in the top 5 % of the upsampled map.  The published
rule (Chen et al. 2019) takes in all of these pixels, so that one stray place makes a box that covers half the picture.
A rule is called with activation maps [N,H,W] and the side of the input, and gives one box for each map in input pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from protoexplain.data.geometry import Box, Geometry
from protoexplain.errors import UserError, nearest_name
from protoexplain.models.contract import best_cells
from protoexplain.regions.boxes import boxes_above, high_activation_boxes, peak_boxes, upsample
from protoexplain.regions.map_sizes import by_size


class Field(Protocol):
    """Receptive fields of the cells of one map, analytic or measured."""

    def box(self, row: int, column: int) -> Box:
        """Input pixels that can influence a cell."""


Fields = Mapping[tuple[int, int], Field]
"""The receptive fields of maps of each size, (rows, columns)."""


class BoxRule(Protocol):
    """How boxes are drawn; its text names it in explanations."""

    def __call__(self, maps: Tensor, size: int) -> list[Box]:
        """Boxes of maps [N,H,W] over an input of side `size`."""


@dataclass(frozen=True)
class PeakComponent:
    """Tight bounds of the connected component, holding the peak, of the pixels at or above a percentile of the map."""

    level: float = 95.0

    def __call__(self, maps: Tensor, size: int) -> list[Box]:
        return peak_boxes(upsample(maps.cpu(), size, size), self.level)

    def __str__(self) -> str:
        return f"peak:{self.level:g}"


@dataclass(frozen=True)
class Percentile:
    """Tight bounds of all pixels at or above a percentile of the upsampled map, however far apart (published)."""

    level: float = 95.0

    def __call__(self, maps: Tensor, size: int) -> list[Box]:
        return high_activation_boxes(upsample(maps.cpu(), size, size), self.level)

    def __str__(self) -> str:
        return f"percentile:{self.level:g}"


@dataclass(frozen=True)
class ShareOfMaximum:
    """Tight bounds of the pixels that reach a share of the maximum of the heat map, which starts at zero.

    Similarities may be negative; as in heat maps, they are counted from the lowest value of the map.
    """

    share: float = 0.5

    def __call__(self, maps: Tensor, size: int) -> list[Box]:
        pixels = upsample(maps.cpu(), size, size)
        low, high = pixels.amin((1, 2)), pixels.amax((1, 2))
        return boxes_above(pixels, torch.minimum(low + self.share * (high - low), high))

    def __str__(self) -> str:
        return f"share:{self.share:g}"


@dataclass(frozen=True)
class BestCell:
    """The pixels that lie over the best cell."""

    def __call__(self, maps: Tensor, size: int) -> list[Box]:
        geometry = Geometry(Box(0, 0, size, size), size)
        return [geometry.cell_box(*place, *maps.shape[1:]) for place in best_cells(maps)]

    def __str__(self) -> str:
        return "cell"


@dataclass(frozen=True)
class ReceptiveFieldOfCell:
    """All pixels that can influence the best cell."""

    fields: Fields

    def __call__(self, maps: Tensor, size: int) -> list[Box]:
        rows, columns = maps.shape[1:]
        return [self.fields[rows, columns].box(*place) for place in best_cells(maps)]

    def __str__(self) -> str:
        return "receptive-field"


DEFAULT = PeakComponent()
PUBLISHED = Percentile()


def boxes_of(rule: BoxRule, maps: Sequence[Tensor], size: int) -> list[Box]:
    """The box of each map [H,W]; maps may differ in size."""
    found: dict[int, Box] = {}
    for places, stack in by_size(maps):
        found.update(zip(places, rule(stack, size), strict=True))
    return [found[place] for place in range(len(maps))]


def parse_box_rule(text: str, fields: Callable[[], Fields]) -> BoxRule:
    """A rule by name: peak, peak:90, published, percentile:90, share, share:0.6, cell or receptive-field.

    Args:
        text: Name, and after a colon the level.
        fields: Called where receptive fields are asked for.

    Raises:
        UserError: No such rule, or a level out of its range.
    """
    name, _, level = text.partition(":")
    levelled: dict[str, tuple[Callable[..., BoxRule], float]] = {
        "peak": (PeakComponent, 100),
        "percentile": (Percentile, 100),
        "share": (ShareOfMaximum, 1),
    }
    plain: dict[str, Callable[[], BoxRule]] = {
        "published": lambda: PUBLISHED,
        "cell": BestCell,
        "receptive-field": lambda: ReceptiveFieldOfCell(fields()),
    }
    if name in levelled:
        rule, highest = levelled[name]
        return rule(_number(level, highest, text)) if level else rule()
    if name not in plain:
        raise UserError(f"unknown rule for boxes '{name}'", text, nearest_name(name, (*levelled, *plain)))
    if level:
        raise UserError(f"the rule '{name}' takes no level", text, f"write {name}")
    return plain[name]()


def _number(text: str, highest: float, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= highest:
        raise UserError(f"'{text}' is no level for a box", where, f"give a number from 0 to {highest:g}")
    return value
