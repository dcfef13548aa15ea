"""The box of a prototype's training patch by any rule, so that a picture and its prototypes are marked alike.

What a checkpoint records of a patch was drawn by one rule when the prototypes were projected; the activation map of the
prototype over its training picture lets every other rule be applied afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import overload

from torch import Tensor

from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.geometry import Box, Geometry
from protoexplain.regions.box_rules import BoxRule


def marked_by(record: PrototypeRecord, activation_map: Tensor | None, rule: BoxRule, size: int) -> PrototypeRecord:
    """The record of a prototype with the boxes of its patch drawn by a rule.

    Args:
        record: As the checkpoint holds it.
        activation_map: [H,W] over the source picture; None, as in old checkpoints, leaves the recorded boxes, and so
            does a map of one cell, whose prototype stands for the whole picture.
        rule: How boxes are drawn.
        size: Side of the source picture, the network's input, in pixels.
    """
    if record.box is None or record.input_box is None or activation_map is None or activation_map.numel() == 1:
        return record
    recorded, (box,) = Box(*record.input_box), rule(activation_map[None], size)
    if box == recorded:
        return record
    source = _geometry(recorded, Box(*record.box), size).box_to_source(box)
    edges = [(one.x0, one.y0, one.x1, one.y1) for one in (box, source)]
    return replace(record, input_box=edges[0], box=edges[1])


class MarkedRecords(Sequence[PrototypeRecord]):
    """The records of all prototypes with the boxes of their patches drawn by a rule, each when it is asked for.

    Args:
        records: As the checkpoint holds them.
        maps: Activation map [H,W] of each prototype over its source picture, None where that is unknown.
        rule: How boxes are drawn.
        size: Side of the source pictures in pixels.
    """

    def __init__(
        self, records: Sequence[PrototypeRecord], maps: Sequence[Tensor | None], rule: BoxRule, size: int
    ) -> None:
        self._count = len(records)
        self._marked = lru_cache(maxsize=None)(lambda index: marked_by(records[index], maps[index], rule, size))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> PrototypeRecord: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[PrototypeRecord, ...]: ...

    def __getitem__(self, index: int | slice) -> PrototypeRecord | tuple[PrototypeRecord, ...]:
        places = range(self._count)[index]
        return self._marked(places) if isinstance(places, int) else tuple(map(self._marked, places))


def _geometry(inside: Box, outside: Box, size: int) -> Geometry:
    """How the training image became the source picture, from one box in the pixels of both."""
    across, down = outside.width / inside.width, outside.height / inside.height
    left, top = outside.x0 - inside.x0 * across, outside.y0 - inside.y0 * down
    return Geometry(Box(left, top, left + size * across, top + size * down), size)
