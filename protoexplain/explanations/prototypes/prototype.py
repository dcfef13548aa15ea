"""What a prototype stands for: the patches nearest to it in all images, how often it fires, what it says of classes.

One pass over the images of a split serves all prototypes.  P prototypes over all branches, p of one branch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from protoexplain.checkpoint.prototypes import Edges, PrototypeRecord
from protoexplain.class_names import owner_name
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.loading import ImageDataset, batches, geometry_of
from protoexplain.io.images import image_size
from protoexplain.models.base import PrototypeModel
from protoexplain.models.contract import best_cells
from protoexplain.models.nearest import Nearest, NearestPatches
from protoexplain.models.reasoning import Reasoning, reasoning_of
from protoexplain.progress import Progress
from protoexplain.regions.box_rules import DEFAULT, BoxRule

BATCH = 32
STRONGEST = 10
"""Class weights, or concepts, that are told of each prototype, by their size."""
_MAPS_AT_ONCE = 256


@dataclass(frozen=True)
class Neighbour:
    """A patch that is near to a prototype.

    Args:
        image: Record of the image.
        label: Its class.
        similarity: Activation at the patch, in the unit of the family.
        cell: (row, column) in the map.
        box: (x0, y0, x1, y1) in pixels of the image.
    """

    image: str
    label: int
    similarity: float
    cell: tuple[int, int]
    box: Edges


@dataclass(frozen=True)
class SplitExplanation:
    """A prototype and the images of one split.

    Args:
        nearest: Images of any class, nearest first, one patch each.
        nearest_own: Images of the prototype's class; empty where all classes share it.
        fires: Share of the images in which it reaches its level, in [0, 1]; None where it has no level.
        foreign: Share of `nearest` that are of other classes; None where all classes share it or there are none.
    """

    nearest: tuple[Neighbour, ...]
    nearest_own: tuple[Neighbour, ...]
    fires: float | None
    foreign: float | None


@dataclass(frozen=True)
class ClassWeight:
    """By how much a class score changes per unit of the prototype's activation."""

    label: int
    name: str
    weight: float


@dataclass(frozen=True)
class ConceptReasoning:
    """What one concept of a class makes of a component.

    Args:
        label: Of the class.
        name: Of the class.
        concept: Number of the concept within its class.
        positive: How much of its score the component gives where it is found; in [0, 1] as all that follows.
        negative: How much where it is missing.
        indefinite: How far the component is ignored; None where the model knows no such reasoning.
    """

    label: int
    name: str
    concept: int
    positive: float
    negative: float
    indefinite: float | None


@dataclass(frozen=True)
class PrototypeExplanation:
    """Everything that is told of one prototype.

    Args:
        prototype: Its number.
        prototype_label: Its class, -1 where it is shared.
        class_name: Names of the classes that own it, in words; None where all share it.
        patch: The training patch that it stands for.
        level: Activation from which on it fires; None where no image excites it.
        weights: Classes with the largest weights, of either sign.
        splits: Split -> its images.
        characteristics: Sentence on whether hue, shape, texture and others matter to it, None where not measured.
        reasoning: Concepts to which it matters most, found or missing; empty for models that do not reason so.
    """

    prototype: int
    prototype_label: int
    class_name: str | None
    patch: PrototypeRecord
    level: float | None
    weights: tuple[ClassWeight, ...]
    splits: Mapping[str, SplitExplanation]
    characteristics: str | None = None
    reasoning: tuple[ConceptReasoning, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def explain_prototypes(
    model: PrototypeModel,
    records: Sequence[PrototypeRecord],
    class_names: Sequence[str],
    splits: Mapping[str, ImageDataset],
    k: int = 5,
    share: float = 0.5,
    box_rule: BoxRule = DEFAULT,
    progress: Progress | None = None,
) -> tuple[PrototypeExplanation, ...]:
    """Look through all images once, for all prototypes.

    Args:
        model: In eval mode.
        records: Where its prototypes come from.
        class_names: By label.
        splits: Name -> pictures without augmentation; training images first.
        k: Patches for each list.
        share: A prototype fires where it reaches this share of its highest activation in the first split, not counting
            the image that it was projected from.
        box_rule: How boxes are drawn.
        progress: Told (done, total) in images.

    Raises:
        UserError: An image can no longer be read.
    """
    total, done = sum(len(dataset) for dataset in splits.values()), 0
    levels: Tensor | None = None
    described: dict[str, list[SplitExplanation]] = {}
    for name, dataset in splits.items():
        split_pass = _pass(model, dataset, k, partial(_tell, progress, done, total))
        levels = _levels(records, dataset, split_pass.activations, share) if levels is None else levels
        described[name] = _described(model, dataset, split_pass, levels, box_rule)
        done += len(dataset)
    weights, reasoning = model.class_weights().detach().T.cpu(), reasoning_of(model)
    return tuple(
        PrototypeExplanation(
            prototype=index,
            prototype_label=record.label,
            class_name=owner_name(record.owners, class_names),
            patch=record,
            level=None if levels is None else _number(levels[index]),
            weights=_strongest(weights[index], class_names),
            splits={name: split[index] for name, split in described.items()},
            reasoning=() if reasoning is None else _concepts(reasoning, index, class_names),
        )
        for index, record in enumerate(records)
    )


def _tell(progress: Progress | None, before: int, total: int, done: int) -> None:
    if progress:
        progress(before + done, total)


@dataclass(frozen=True)
class _SplitPass:
    """All prototypes and one split: by branch the nearest patches and those of their classes; activations [N,P]."""

    nearest: list[NearestPatches]
    own: list[NearestPatches]
    activations: Tensor


@torch.inference_mode()
def _pass(model: PrototypeModel, dataset: ImageDataset, k: int, tell: Callable[[int], object]) -> _SplitPass:
    device, done = next(model.parameters()).device, 0
    ownerships = model.ownership.split(model.branch_sizes())
    nearest, own = ([Nearest(k, size) for size in model.branch_sizes()] for _ in range(2))
    activations = torch.empty(len(dataset), model.num_prototypes)
    for batch in batches(dataset, range(len(dataset)), BATCH):
        features = model.backbone(batch.images[:, 0].to(device))
        labels, indices = batch.labels.to(device), batch.indices.to(device)
        highest = []
        for (_, branch), ownership, collector, own_collector in zip(
            model.named_branches(), ownerships, nearest, own, strict=True
        ):
            similarity = branch.similarity_maps(features)
            best, maps = similarity.flatten(2).amax(2), branch.activation_maps(similarity)
            collector.update(best, indices, labels, maps)
            if not ownership.all_shared:
                allowed = ownership.of_images(labels) & ~ownership.shared_by_all
                own_collector.update(best, indices, labels, maps, allowed=allowed)
            highest.append(maps.flatten(2).amax(2))
        activations[done : done + len(labels)] = torch.cat(highest, 1).cpu()
        done += len(labels)
        tell(done)
    return _SplitPass(
        [collector.patches() for collector in nearest],
        [collector.patches() for collector in own],
        activations,
    )


def _levels(records: Sequence[PrototypeRecord], dataset: ImageDataset, activations: Tensor, share: float) -> Tensor:
    """[P] activations from which on prototypes fire; NaN where no image excites them."""
    rows = {record.id: row for row, record in enumerate(dataset.records)}
    others = activations.clone()
    for record in records:
        if record.projected and record.image_id in rows:
            others[rows[record.image_id], record.index] = -torch.inf
    best = others.amax(0) if len(others) else others.new_full(others.shape[1:], -torch.inf)
    return torch.where(best > 0, share * best, torch.nan)


def _described(
    model: PrototypeModel, dataset: ImageDataset, split_pass: _SplitPass, levels: Tensor, box_rule: BoxRule
) -> list[SplitExplanation]:
    """Patches in words of the data set: records, cells, boxes in pixels of the images."""
    images = {i for patches in (*split_pass.nearest, *split_pass.own) for i in patches.image.flatten().tolist()}
    geometries = {i: _geometry(dataset, i) for i in images if i >= 0}
    fires = (split_pass.activations >= levels).double().mean(0).masked_fill(levels.isnan(), torch.nan)
    lists = [
        [some for patches in branches for some in _neighbours(dataset, patches, geometries, box_rule)]
        for branches in (split_pass.nearest, split_pass.own)
    ]
    owners = [model.ownership.owners(prototype) for prototype in range(model.num_prototypes)]
    return [
        SplitExplanation(
            nearest=nearest,
            nearest_own=own,
            fires=_number(share),
            foreign=None
            if classes is None or not nearest
            else sum(n.label not in classes for n in nearest) / len(nearest),
        )
        for classes, nearest, own, share in zip(owners, *lists, fires, strict=True)
    ]


def _geometry(dataset: ImageDataset, index: int) -> Geometry:
    record = dataset.records[index]
    return geometry_of(record, image_size(record.path), dataset.crop, dataset.size)


def _neighbours(
    dataset: ImageDataset, patches: NearestPatches, geometries: Mapping[int, Geometry], box_rule: BoxRule
) -> list[tuple[Neighbour, ...]]:
    """For each prototype of a branch, its patches."""
    if patches.maps is None:
        return [()] * len(patches.image)
    maps = patches.maps.flatten(0, 1).cpu()
    boxes = [box for some in maps.split(_MAPS_AT_ONCE) for box in box_rule(some, dataset.size)]
    best, cells = maps.flatten(1).amax(1), best_cells(maps)
    places = zip(patches.image.flatten().tolist(), patches.label.flatten().tolist(), strict=True)
    found: list[list[Neighbour]] = [[] for _ in range(len(patches.image))]
    for place, ((image, label), box) in enumerate(zip(places, boxes, strict=True)):
        if image >= 0:
            found[place // patches.image.shape[1]].append(
                Neighbour(
                    image=dataset.records[image].id,
                    label=label,
                    similarity=float(best[place]),
                    cell=cells[place],
                    box=_edges(geometries[image].box_to_source(box)),
                )
            )
    return [tuple(some) for some in found]


def _strongest(weights: Tensor, class_names: Sequence[str]) -> tuple[ClassWeight, ...]:
    order = weights.abs().argsort(descending=True, stable=True)[:STRONGEST].tolist()
    return tuple(ClassWeight(label, class_names[label], float(weights[label])) for label in order)


def _concepts(reasoning: Reasoning, prototype: int, class_names: Sequence[str]) -> tuple[ConceptReasoning, ...]:
    positive, negative = reasoning.positive[prototype], reasoning.negative[prototype]
    classes, ignored = reasoning.concept_class.tolist(), reasoning.indefinite
    order = (positive + negative).argsort(descending=True, stable=True)[:STRONGEST].tolist()
    return tuple(
        ConceptReasoning(
            label=classes[concept],
            name=class_names[classes[concept]],
            concept=concept - classes.index(classes[concept]),
            positive=float(positive[concept]),
            negative=float(negative[concept]),
            indefinite=None if ignored is None else float(ignored[prototype, concept]),
        )
        for concept in order
    )


def _number(value: Tensor) -> float | None:
    """None where it is not a number."""
    return None if bool(value.isnan()) else float(value)


def _edges(box: Box) -> Edges:
    return box.x0, box.y0, box.x1, box.y1
