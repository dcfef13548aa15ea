"""What one prototype says about one class, and where in the image it was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from protoexplain.checkpoint.prototypes import Edges, PrototypeRecord
from protoexplain.class_names import owner_name
from protoexplain.data.geometry import Geometry
from protoexplain.explanations.characteristics.match_characteristics import MatchCharacteristics
from protoexplain.explanations.forward_pass import ForwardPass
from protoexplain.models.contract import best_cells
from protoexplain.regions.box_rules import DEFAULT, BoxRule, boxes_of


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What a prototype says about a class: four kinds of evidence.

    A linear head has evidence by presence alone, of either sign.  A reasoning head has all four, none negative.  A tree
    has evidence by presence and by absence, of either sign.

    Args:
        prototype: Number of the prototype.
        prototype_label: Its class, -1 where it is shared.
        owner: Names of the classes that own it, in words; None where all share it.
        similarity: Activation at its best place in the image, in the unit of the family.
        usual: That of an average training image, from which evidence counts; None where it counts from zero.
        presence: What it adds to the class score because it was found; negative where it speaks against the class.
        absence: What it adds because it is missing; negative where that speaks against the class.
        unwanted: What is lost because it was found though it should be missing; None for heads without.
        lacking: What is lost because it is missing though it should be found; None for heads without.
        patch: The training patch that the prototype stands for, None where unknown.
        characteristics: How much hue, texture and others matter to this similarity, None where not measured.
    """

    prototype: int
    prototype_label: int
    owner: str | None
    similarity: float
    usual: float | None
    presence: float
    absence: float
    unwanted: float | None
    lacking: float | None
    patch: PrototypeRecord | None = None
    characteristics: MatchCharacteristics | None = None

    @property
    def evidence(self) -> float:
        """What it adds to the class score, found or missing."""
        return self.presence + self.absence


@dataclass(frozen=True, kw_only=True)
class Match(Statement):
    """A statement by presence, which has a place; what is missing has none.

    Args:
        cell: (row, column) of the best place in the map.
        peak: (x, y) of the centre of that cell, in pixels of the given image.
        box: Around the best place by the explanation's rule, (x0, y0, x1, y1) in pixels of the given image.
        heat_range: Activations at which the colours of its heat map begin and end, by the training images; None where
            these are unknown or the map is one cell, and the map's own range has to do.
    """

    cell: tuple[int, int]
    peak: tuple[float, float]
    box: Edges
    heat_range: tuple[float, float] | None

    @property
    def convincing(self) -> bool:
        """Whether the similarity is nearer to that of the prototype's best matches among the training images than to
        what any place of a training image gets on average; True where neither is known."""
        return self.heat_range is None or self.similarity >= sum(self.heat_range) / 2


def statements(
    forward_pass: ForwardPass, labels: Sequence[int], prototypes: Sequence[int]
) -> list[dict[int, Statement]]:
    """For each class, the chosen prototypes by number."""
    return [{p: Statement(**numbers[p]) for p in prototypes} for numbers in _numbers(forward_pass, labels, prototypes)]


def matches(
    forward_pass: ForwardPass, labels: Sequence[int], prototypes: Sequence[int], rule: BoxRule = DEFAULT
) -> list[dict[int, Match]]:
    """As `statements`, with places."""
    places = _places(forward_pass, prototypes, rule)
    numbers = _numbers(forward_pass, labels, prototypes)
    return [{p: Match(**of_class[p], **places[p]) for p in prototypes} for of_class in numbers]


def _numbers(
    forward_pass: ForwardPass, labels: Sequence[int], prototypes: Sequence[int]
) -> list[dict[int, dict[str, Any]]]:
    chosen = list(prototypes)
    evidence, disagreement = forward_pass.evidence(labels), forward_pass.disagreement(labels)
    kinds = {"presence": _columns(evidence.presence, chosen), "absence": _columns(evidence.absence, chosen)}
    nothing = [[None] * len(chosen)] * len(labels)
    kinds["unwanted"] = nothing if disagreement is None else _columns(disagreement.presence, chosen)
    kinds["lacking"] = nothing if disagreement is None else _columns(disagreement.absence, chosen)
    similarity = forward_pass.activations[chosen].tolist()
    counted = forward_pass.evidence_kind.relative
    usual = forward_pass.model.baseline_activations()[chosen].tolist() if counted else [None] * len(chosen)
    ownership, names = forward_pass.model.ownership, forward_pass.class_names
    labels_of = ownership.labels[chosen].tolist()
    owners = [owner_name(ownership.owners(prototype), names) for prototype in chosen]
    return [
        {
            prototype: {
                "prototype": prototype,
                "prototype_label": labels_of[i],
                "owner": owners[i],
                "similarity": similarity[i],
                "usual": usual[i],
                "patch": forward_pass.records[prototype] if forward_pass.records else None,
                **{name: values[k][i] for name, values in kinds.items()},
            }
            for i, prototype in enumerate(chosen)
        }
        for k in range(len(labels))
    ]


def _columns(values: Tensor, chosen: list[int]) -> list[list[Any]]:
    """[P,k] -> for each class the values of the chosen prototypes."""
    return values[chosen].T.tolist()


def _places(forward_pass: ForwardPass, prototypes: Sequence[int], rule: BoxRule) -> dict[int, dict[str, Any]]:
    geometry, maps = forward_pass.geometry, [forward_pass.maps[prototype] for prototype in prototypes]
    boxes = [geometry.box_to_source(box) for box in boxes_of(rule, maps, geometry.input_size)]
    statistics = forward_pass.model.statistics
    return {
        prototype: {
            **_peak(cells, geometry),
            "box": (box.x0, box.y0, box.x1, box.y1),
            "heat_range": None if statistics is None or cells.numel() == 1 else statistics.span(prototype),
        }
        for prototype, cells, box in zip(prototypes, maps, boxes, strict=True)
    }


def _peak(cells: Tensor, geometry: Geometry) -> dict[str, Any]:
    """The best cell of a map [H,W], and its centre in pixels of the given image."""
    height, width = cells.shape
    ((row, column),) = best_cells(cells[None])
    down, across = geometry.input_size / height, geometry.input_size / width
    return {"cell": (row, column), "peak": geometry.to_source((column + 0.5) * across, (row + 0.5) * down)}
