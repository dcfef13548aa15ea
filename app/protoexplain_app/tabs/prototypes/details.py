"""All that is known of one prototype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.records import ImageSet
from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.training.diagnose import on_background, repeated
from protoexplain.view.pictures import Picture
from protoexplain_app.pictures import prototype_picture
from protoexplain_app.tabs.prototypes.actions import Metrics, Tile, tile
from protoexplain_app.tabs.prototypes.measured_facts import MeasuredFacts, measured_facts
from protoexplain_app.tabs.prototypes.measures import Measure, measures

WEIGHTS, NEIGHBOURS, BARS = 5, 8, 24
BRANCHES = {"trivial": "typical of its class, far from others", "support": "at the border to other classes"}
"""Words for the branches of ST-ProtoPNet."""


@dataclass(frozen=True)
class Weight:
    """Args: label, name: of a class; value: its weight; share: of the largest weight shown, 0 to 1."""

    label: int
    name: str
    value: float
    share: float


@dataclass(frozen=True)
class MeasureRank:
    """Where a prototype stands among all.

    Args:
        measure: What is compared.
        value: Of the prototype.
        place: From the highest, from 1.
        among: So many have a value.
        heights: A histogram of all values, 0 to 1.
        bar: The bar that holds the prototype.
    """

    measure: Measure
    value: float
    place: int
    among: int
    heights: tuple[float, ...]
    bar: int


@dataclass(frozen=True)
class PrototypeDetails:
    """A prototype.

    Args:
        index: Its number.
        total: Of all prototypes.
        owner: Its class, None where all classes share it.
        branch: What its branch is, None where there is one only.
        image: Name of its training picture.
        image_class: Class of that picture, where the data set is at hand.
        written: Whether the prototype equals its patch; False where the patch illustrates it.
        drawn: Whether `patch` is the prototype itself, a whole picture as the model draws it.
        patch: Its training patch.
        source: The training picture with the patch's box.
        weights_for: Classes that it speaks for most, largest weight first.
        weights_against: Classes that it speaks against most.
        ranks: Where it stands in each measure.
        neighbours: The most similar prototypes, and how similar they are.
        by_weights: Whether that is the likeness of their class weights; otherwise of the prototypes.
        findings: What is wrong with it, one sentence each.
        measured: What measurements say of it.
        twin: The prototype whose activations are most like its own, and their correlation; None where not measured.
    """

    index: int
    total: int
    owner: str | None
    branch: str | None
    image: str | None
    image_class: str | None
    written: bool
    drawn: bool
    patch: Picture | None
    source: Picture | None
    weights_for: tuple[Weight, ...]
    weights_against: tuple[Weight, ...]
    ranks: tuple[MeasureRank, ...]
    neighbours: tuple[tuple[Tile, float], ...]
    by_weights: bool
    findings: tuple[str, ...]
    measured: MeasuredFacts
    twin: tuple[Tile, float] | None


def prototype_details(
    explainer: Explainer, index: int, images: ImageSet | None = None, metrics: Metrics | None = None
) -> PrototypeDetails:
    """Describe a prototype.

    Args:
        explainer: The model.
        index: Number of the prototype.
        images: The data set, where it is at hand.
        metrics: As for `measures`.

    Raises:
        UserError: There is no such prototype.
    """
    checkpoint, model = explainer.checkpoint, explainer.model
    if index not in range(len(checkpoint.prototypes)):
        last = len(checkpoint.prototypes) - 1
        raise UserError(f"there is no prototype {index}", "", f"choose one from 0 to {last}")
    record = checkpoint.prototypes[index]
    weights = model.class_weights().detach()
    own = tile(checkpoint, index)
    known = measured_facts(checkpoint.metrics if metrics is None else metrics, index, len(checkpoint.prototypes))
    image = next((i for i in images.records if i.id == record.image_id), None) if images else None
    return PrototypeDetails(
        index=index,
        total=len(checkpoint.prototypes),
        owner=own.owner,
        branch=BRANCHES.get(record.branch, record.branch) if len(model.named_branches()) > 1 else None,
        image=record.image_id,
        image_class=images.classes[image.label] if images and image else None,
        written=record.projected,
        drawn=model.prototype_source.decoded,
        patch=prototype_picture(checkpoint, index, "patch"),
        source=prototype_picture(checkpoint, index, "source"),
        weights_for=_weights(weights[:, index], checkpoint.classes, 1),
        weights_against=_weights(weights[:, index], checkpoint.classes, -1),
        ranks=tuple(_ranks(measures(explainer, metrics=metrics), index)),
        neighbours=tuple((tile(checkpoint, other), likeness) for other, likeness in _neighbours(model, index)),
        by_weights=not any(has_vectors(branch) for _, branch in model.named_branches()),
        findings=_findings(checkpoint, index, images),
        measured=known,
        twin=None if known.twin is None else (tile(checkpoint, known.twin[0]), known.twin[1]),
    )


def _weights(weights: Tensor, classes: Sequence[str], sign: int) -> tuple[Weight, ...]:
    """The largest weights [C] of one sign."""
    largest = float(weights.abs().max()) or 1.0
    order = (sign * weights).argsort(descending=True)[:WEIGHTS].tolist()
    values = [(label, float(weights[label])) for label in order]
    return tuple(Weight(i, classes[i], value, abs(value) / largest) for i, value in values if sign * value > 0)


def _ranks(known: Sequence[Measure], index: int) -> list[MeasureRank]:
    found = []
    for measure in known:
        value, rank = measure.values[index], measure.rank(index)
        if value is None or rank is None:
            continue
        values = torch.tensor([other for other in measure.values if other is not None])
        low, high = float(values.min()), float(values.max())
        counts = torch.histc(values, BARS, low, high) if high > low else torch.tensor([float(len(values))])
        bar = min(int((value - low) / (high - low) * BARS), BARS - 1) if high > low else 0
        heights = tuple((counts / counts.max()).tolist())
        found.append(MeasureRank(measure, value, *rank, heights, bar))
    return found


def _neighbours(model: PrototypeModel, index: int) -> list[tuple[int, float]]:
    """Numbers of the most similar prototypes, and how similar: the nearest first.

    Prototypes that are vectors are compared within their branch as the model would compare them with a patch of a
    picture.  Fixed axes of the latent space have no such likeness; they are compared by the cosine of their class
    weights.
    """
    names, branches = model.prototype_branch(), dict(model.named_branches())
    branch, start, size = branches[names[index]], names.index(names[index]), names.count(names[index])
    own = index - start
    if has_vectors(branch):
        vectors = branch.prototypes.detach()
        similarity = branch.projected_by.maps(vectors, vectors[own : own + 1])
        likeness = branch.activation_maps(similarity, torch.tensor([own])).flatten()
    else:
        weights = F.normalize(model.class_weights().detach()[:, start : start + size], dim=0)
        likeness = weights[:, own] @ weights
    likeness[own] = -torch.inf
    best = likeness.topk(min(NEIGHBOURS, size - 1))
    return [(start + i, value) for i, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)]


def has_vectors(branch: Branch) -> bool:
    """Whether prototypes are vectors that were learned, not axes of the latent space."""
    return isinstance(branch.prototypes, torch.nn.Parameter)


def _findings(checkpoint: Checkpoint, index: int, images: ImageSet | None) -> tuple[str, ...]:
    """What is wrong with one prototype: by its record, by the checkpoint's measurements, by the mask of its picture."""
    record, said = checkpoint.prototypes[index], []
    if record.image_id is None:
        with_data = checkpoint.data.train_images > 0
        why = "No training image of its class was left for it." if with_data else "The model came without its data."
        said.append(why)
    for group in repeated(checkpoint.prototypes).groups:
        if index in group:
            others = ", ".join(str(other) for other in group if other != index)
            said.append(f"It shows the same place of the same picture as prototype {others}.")
    findings = checkpoint.metrics.get("findings")
    for entry in findings if isinstance(findings, list) else []:
        if isinstance(entry, dict) and index in (entry.get("prototypes") or []):
            said.append(f"It is among these: {entry.get('sentence', entry.get('kind', ''))}.")
    if images is not None and index in on_background([record], images.records, checkpoint.data.crop).prototypes:
        said.append("The centre of its cell lies beside the object, on the background.")
    return tuple(said)
