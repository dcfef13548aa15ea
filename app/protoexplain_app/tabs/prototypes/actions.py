"""All prototypes of a model, found, chosen and sorted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.prototypes.patch_pictures import PatchPictures, pictures_of
from protoexplain_app.links import Parameters, number
from protoexplain_app.pictures import prototype_address
from protoexplain_app.tabs.prototypes.measures import Measure, Value, measures

NUMBER, CLASS = "number", "class"
Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Query:
    """Which prototypes, in which order.

    Args:
        find: A number, or a part of a class name or of the name of a training picture.
        label: Of a class; None for all.
        sort: By number, by class, or by the key of a measure.
        reverse: The other way round.
    """

    find: str = ""
    label: int | None = None
    sort: str = NUMBER
    reverse: bool = False

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of an address that bring the same gallery."""
        return {"find": self.find, "class": self.label, "sort": self.sort, "reverse": 1 if self.reverse else None}


def parse_query(parameters: Parameters) -> Query:
    """From the parameters of an address; what they do not say is as in `Query`."""
    return Query(
        parameters.get("find", ""),
        number(parameters, "class"),
        parameters.get("sort", NUMBER),
        parameters.get("reverse") == "1",
    )


@dataclass(frozen=True)
class Tile:
    """A prototype in the gallery.

    Args:
        index: Its number.
        owner: Its class, None where all classes share it.
        picture: Address of its patch, None where it has none.
        value: Of the measure that the gallery is sorted by.
        scale: Longer side of its patch, from 0 to 1 of the longest one of the model; so tiles have one scale.
    """

    index: int
    owner: str | None
    picture: str | None
    value: Value = None
    scale: float = 1.0


@dataclass(frozen=True)
class Gallery:
    """Args: tiles: those that were asked for; total: of the model; measure: the order, None for number and class;
    findings: what the checkpoint says of all prototypes, one sentence each."""

    tiles: tuple[Tile, ...]
    total: int
    measure: Measure | None
    findings: tuple[str, ...]


def orders(explainer: Explainer, metrics: Metrics | None = None) -> list[tuple[str, str]]:
    """What the gallery can be sorted by: title and key; `metrics` as for `measures`."""
    return [
        ("Prototype number", NUMBER),
        ("Class name", CLASS),
        *((measure.title, measure.key) for measure in measures(explainer, metrics=metrics)),
    ]


def gallery(explainer: Explainer, query: Query, metrics: Metrics | None = None) -> Gallery:
    """The prototypes that are asked for; an unknown order is that of the numbers; `metrics` as for `measures`."""
    checkpoint, weights = explainer.checkpoint, explainer.model.class_weights().detach()
    label = query.label if query.label in range(len(checkpoint.classes)) else None
    measure = next((measure for measure in measures(explainer, label, metrics) if measure.key == query.sort), None)
    relied = relied_on(checkpoint.prototypes, weights, label)
    chosen = [r for r in checkpoint.prototypes if r.index in relied and _matches(r, query.find, checkpoint.classes)]
    chosen.sort(key=_order(query.sort, measure), reverse=query.reverse)
    if measure is not None:
        chosen.sort(key=lambda record: measure.values[record.index] is None)
    tiles = tuple(tile(checkpoint, r.index, measure.values[r.index] if measure else None) for r in chosen)
    return Gallery(tiles, len(checkpoint.prototypes), measure, checkpoint.findings)


def tile(checkpoint: Checkpoint, index: int, value: Value = None) -> Tile:
    record = checkpoint.prototypes[index]
    owner = checkpoint.owner_name(record.index)
    address = prototype_address(checkpoint, index, "patch") if record.patch else None
    sides = _sides(pictures_of(checkpoint))
    return Tile(index, owner, address, value, sides[index] / max(sides) if address else 1.0)


@lru_cache(maxsize=4)
def _sides(pictures: PatchPictures) -> tuple[float, ...]:
    """Longer side of the patch of each prototype as it was recorded, in pixels; 1 where it has none."""
    boxes = [record.input_box for record in pictures.checkpoint.prototypes]
    return tuple(1.0 if box is None else max(box[2] - box[0], box[3] - box[1]) for box in boxes)


def relied_on(records: Sequence[PrototypeRecord], weights: Tensor, label: int | None) -> set[int]:
    """Numbers of a class's prototypes: its own, and of shared ones those that it weighs more than its average."""
    if label is None:
        return {record.index for record in records}
    heavy = (weights[label] > weights[label].abs().mean()).tolist()
    return {r.index for r in records if r.belongs_to(label) and (r.owners is not None or heavy[r.index])}


def _order(sort: str, measure: Measure | None) -> Callable[[PrototypeRecord], tuple[float, int]]:
    """Highest first for measures; equal ones by their numbers."""
    if measure is not None:
        return lambda record: (-(measure.values[record.index] or 0.0), record.index)
    if sort == CLASS:
        return lambda record: (record.label, record.index)
    return lambda record: (record.index, record.index)


def _matches(record: PrototypeRecord, find: str, classes: Sequence[str]) -> bool:
    wanted = " ".join(find.replace("_", " ").casefold().split())
    if not wanted or wanted.removeprefix("prototype ") == str(record.index):
        return True
    if wanted.isdigit():
        return False
    owners = [*(["shared"] if record.label < 0 else []), *(classes[label] for label in record.owners or ())]
    text = f"{' '.join(owners)} {Path(record.image_id or '').name}"
    return wanted in text.replace("_", " ").casefold()
