"""Where else a prototype could lie: the nearest patches of its class that are not unwanted.

Unwanted are the place that the prototype leaves and its neighbours, the cells of other prototypes of its class, and
cells beside the object where masks or boxes tell.  Each picture offers its best cell, so that k pictures are offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.data.geometry import Box
from protoexplain.editing.decisions import REPROJECT, Decision
from protoexplain.editing.preview import TRAIN, EditPreview
from protoexplain.errors import UserError
from protoexplain.models.base import Branch
from protoexplain.models.similarity import gather_patches
from protoexplain.regions.box_rules import DEFAULT

OFFERED = 6


@dataclass(frozen=True)
class PatchCandidate:
    """A patch of a training picture for a prototype.

    Args:
        image: Record of the picture.
        place: Its number among the training pictures.
        row: Of the cell.
        column: Of the cell.
        similarity: Of the patch to the prototype as it was before anything was written into it.
        written: [1,D,h,w] the prototype that it would become.
        map: [H,W] similarity of that prototype to all cells of the picture.
    """

    image: str
    place: int
    row: int
    column: int
    similarity: float
    written: Tensor
    map: Tensor


@torch.no_grad()
def candidates(
    preview: EditPreview, prototype: int, decisions: Sequence[Decision] = (), k: int = OFFERED
) -> tuple[PatchCandidate, ...]:
    """The best patches to write into a prototype instead of its own, the nearest first.

    Args:
        preview: Of the checkpoint.
        prototype: Its number.
        decisions: What is decided on other prototypes; their new places are taken, removed ones give theirs free.
        k: At most so many.

    Raises:
        UserError: No such prototype, or one that no patch can be written into.
    """
    name, branch = writable(preview, prototype)
    features, record = preview.features[TRAIN], preview.checkpoint.prototypes[prototype]
    places = [i for i, image in enumerate(features.images) if record.belongs_to(image.label)]
    if not places:
        return ()
    maps = branch.projected_by.maps(features.latents[name][places], preview.learned(prototype))[:, 0]
    taken = _taken(preview, prototype, decisions)
    height, width = maps.shape[1:]
    for i, place in enumerate(places):
        beside = preview.beside(place, height, width)
        if beside is not None:
            maps[i][beside] = -torch.inf
        for row, column, reach in taken.get(features.images[place].id, ()):
            maps[i, max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1] = -torch.inf
    best, cells = maps.flatten(1).max(1)
    order = [i for i in best.argsort(descending=True, stable=True).tolist() if best[i] > -torch.inf][:k]
    return tuple(candidate_at(preview, prototype, places[i], *divmod(int(cells[i]), width)) for i in order)


@torch.no_grad()
def candidate_at(preview: EditPreview, prototype: int, place: int, row: int, column: int) -> PatchCandidate:
    """A cell of a training picture as the new place of a prototype.

    Raises:
        UserError: No such prototype, picture or cell, or a picture of another class.
    """
    name, branch = writable(preview, prototype)
    features = preview.features[TRAIN]
    height, width = preview.map_of(prototype)
    where = f"prototype {prototype}"
    if not 0 <= place < len(features.images):
        raise UserError(f"there is no training picture number {place}", where, "choose one that is offered")
    image = features.images[place]
    if not preview.checkpoint.prototypes[prototype].belongs_to(image.label):
        shown, owner = preview.checkpoint.classes[image.label], preview.checkpoint.owner_name(prototype)
        what = f"the picture {image.id} shows {shown}, the prototype belongs to {owner}"
        raise UserError(what, where, "choose a picture of the prototype's class")
    if not (0 <= row < height and 0 <= column < width):
        what = f"the picture has no cell in row {row}, column {column}"
        raise UserError(what, where, f"rows go from 0 to {height - 1}, columns from 0 to {width - 1}")
    z, learned = features.latents[name][place : place + 1], preview.learned(prototype)
    patch = gather_patches(z, learned, torch.tensor([[row * width + column]]))[0]
    written = branch.similarity.prototypes_from(patch).view_as(learned).clone()
    similarity = branch.projected_by.maps(z, learned)[0, 0, row, column]
    own_map = branch.similarity.maps(z, written)[0, 0]
    return PatchCandidate(image.id, place, row, column, float(similarity), written, own_map)


def resolved(preview: EditPreview, decision: Decision, before: Sequence[Decision]) -> PatchCandidate:
    """The patch that a decision names, or the nearest one that is not unwanted.

    Args:
        preview: Of the checkpoint.
        decision: To project again.
        before: All that was decided before.

    Raises:
        UserError: The patch cannot be used, or no other one is left.
    """
    if decision.place is None:
        found = candidates(preview, decision.prototype, before, 1)
        if not found:
            what = f"no other patch of its class is left for prototype {decision.prototype}"
            raise UserError(what, "decisions", "name image, row and column, or remove it")
        return found[0]
    image, row, column = decision.place
    ids = {record.id: i for i, record in enumerate(preview.features[TRAIN].images)}
    if image not in ids:
        what = f"'{image}' is no training picture of the model"
        raise UserError(what, f"prototype {decision.prototype}", "name a picture as the data set's list does")
    return candidate_at(preview, decision.prototype, ids[image], row, column)


def box_of(preview: EditPreview, prototype: int, found: PatchCandidate) -> Box:
    """The part of the picture that would be shown for a candidate, in pixels of the network's input."""
    _, branch, own = preview.place(prototype)
    size = preview.checkpoint.config.data.image_size
    return DEFAULT(branch.activation_maps(found.map[None], torch.tensor([own])), size)[0]


def writable(preview: EditPreview, prototype: int) -> tuple[str, Branch]:
    """The branch of a prototype that patches can be written into.

    Raises:
        UserError: No such prototype, or it is a direction of the network's own.
    """
    name, branch, _ = preview.place(prototype)
    if not preview.model.prototype_source.projected:
        raise UserError(
            "the prototypes of this model are parts of its network; no patch can be written into them",
            f"prototype {prototype}",
            "remove it instead",
        )
    return name, branch


def _taken(
    preview: EditPreview, prototype: int, decisions: Sequence[Decision]
) -> dict[str | None, list[tuple[int, int, int]]]:
    """Image -> (row, column, how far around) of cells that are not offered."""
    decided = {decision.prototype: decision for decision in decisions if decision.prototype != prototype}
    own = preview.checkpoint.prototypes[prototype]
    taken: dict[str | None, list[tuple[int, int, int]]] = {own.image_id: [(own.row, own.column, 1)]}
    for record in preview.checkpoint.prototypes:
        if record.index == prototype or (record.branch, record.label) != (own.branch, own.label):
            continue
        decision = decided.get(record.index)
        if decision is None and record.image_id is not None:
            taken.setdefault(record.image_id, []).append((record.row, record.column, 0))
        elif decision is not None and decision.do == REPROJECT and decision.place is not None:
            image, row, column = decision.place
            taken.setdefault(image, []).append((row, column, 0))
    return taken
