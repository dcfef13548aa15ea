"""Projection: find the training patch nearest to each prototype, for all prototypes and branches in one pass.

The search keeps one best patch per prototype.  Differences within float32 noise count as ties, and the image with
the smallest index wins a tie, so the result depends neither on the batch size nor on the number of processes.
P prototypes, H x W cells, F = D * h * w numbers in a patch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import reduce

import torch
from torch import Tensor

from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.precision import all_digits
from protoexplain.models.similarity import gather_patches, map_size, patch_depth

RELATIVE_TIE, ABSOLUTE_TIE = 1e-6, 1e-7
LatentBatch = tuple[list[Tensor], Tensor, Tensor]
"""Of some images the latent map [B,D,H,W] of each branch, their labels [B] and their indices [B]."""
Allowed = Callable[[list[int], tuple[int, int]], Tensor]
"""Indices of B images and the size (H, W) of a map -> bool [B,H,W], the cells that prototypes may be taken from."""


@dataclass(frozen=True)
class BestPatches:
    """The best patch of each prototype of one branch.

    Args:
        image: [P] index of the training image, -1 where no image qualified.
        row: [P] of the cell.
        column: [P] of the cell.
        similarity: [P] to the prototype before it was written, as projection measures it; -inf where there is none.
        patch: [P,F] latent patch.
        maps: [P,H,W] similarity map of the prototype on its image.
    """

    image: Tensor
    row: Tensor
    column: Tensor
    similarity: Tensor
    patch: Tensor
    maps: Tensor

    @property
    def found(self) -> Tensor:
        """[P] whether any image qualified."""
        return self.image >= 0


def _wins(challenger: BestPatches, holder: BestPatches) -> Tensor:
    """Where the challenger is closer, or as close on an earlier image."""
    gap = challenger.similarity - holder.similarity
    noise = RELATIVE_TIE * holder.similarity.abs().nan_to_num(posinf=0) + ABSOLUTE_TIE
    earlier = (gap >= -noise) & (challenger.image < holder.image)
    return challenger.found & (~holder.found | (gap > noise) | earlier)


def merge(holder: BestPatches, challenger: BestPatches) -> BestPatches:
    """The better patch of each prototype."""
    wins = _wins(challenger, holder)

    def pick(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(wins.view(-1, *[1] * (old.dim() - 1)), new, old)

    return BestPatches(*(pick(getattr(challenger, f.name), getattr(holder, f.name)) for f in fields(BestPatches)))


def merge_all(parts: list[BestPatches]) -> BestPatches:
    """The best patches over several searches."""
    return reduce(merge, parts)


def to_cpu(patches: BestPatches) -> BestPatches:
    return BestPatches(*(getattr(patches, f.name).cpu() for f in fields(BestPatches)))


def _empty(prototypes: Tensor, depth: int = 0, map_size: tuple[int, int] = (1, 1)) -> BestPatches:
    count = len(prototypes)
    none = torch.full((count,), -1, device=prototypes.device)
    return BestPatches(
        image=none,
        row=none.clone(),
        column=none.clone(),
        similarity=prototypes.new_full((count,), -torch.inf),
        patch=prototypes.new_zeros(count, depth),
        maps=prototypes.new_zeros(count, *map_size),
    )


def _of_images(branch: Branch, z: Tensor, prototypes: Tensor, indices: Tensor, allowed: Tensor | None) -> BestPatches:
    """Best patches of some prototypes over images that all qualify for them, in the allowed cells [B,H,W]."""
    nearness = branch.projected_by.maps(z, prototypes)
    maps = nearness if branch.projected_by is branch.similarity else branch.similarity.maps(z, prototypes)
    compared = nearness if allowed is None else nearness.masked_fill(~allowed[:, None], -torch.inf)
    best, cells = compared.flatten(2).max(2)
    threshold = best.amax(0)
    threshold = threshold - RELATIVE_TIE * threshold.abs() - ABSOLUTE_TIE
    candidates = torch.where(best >= threshold, indices[:, None], torch.iinfo(torch.long).max)
    image, prototype = candidates.argmin(0), torch.arange(len(prototypes), device=z.device)
    cell = cells[image, prototype]
    patch = z.new_empty(len(prototypes), patch_depth(z, prototypes))
    for one in image.unique():
        mine = image == one
        patch[mine] = gather_patches(z[one : one + 1], prototypes, cell[mine][None])[0]
    return BestPatches(
        image=indices[image],
        row=cell // maps.shape[3],
        column=cell % maps.shape[3],
        similarity=best[image, prototype],
        patch=patch,
        maps=maps[image, prototype],
    )


def _update(holder: BestPatches, chosen: Tensor, found: BestPatches) -> None:
    """Let the patches found for some prototypes compete with those held."""
    held = BestPatches(*(getattr(holder, f.name)[chosen] for f in fields(BestPatches)))
    better = merge(held, found)
    for f in fields(BestPatches):
        getattr(holder, f.name)[chosen] = getattr(better, f.name)


@all_digits()
@torch.inference_mode()
def search(
    model: PrototypeModel,
    batches: Iterable[tuple[Tensor, Tensor, Tensor]],
    any_class: bool = False,
    allowed: Allowed | None = None,
) -> list[BestPatches]:
    """One pass over the training images.

    Args:
        model: In eval mode.
        batches: Images [B,3,S,S], labels [B], image indices [B].
        any_class: Images of all classes qualify; by default those of the prototype's class, or all where the
            prototype belongs to no class.
        allowed: Cells that patches may be taken from, at least one in each image; all by default.

    Returns:
        One entry per branch.
    """
    return search_latents(model, latent_batches(model, batches), any_class, allowed)


def latent_batches(model: PrototypeModel, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> Iterator[LatentBatch]:
    """What the network makes of images [B,3,S,S] with labels and indices."""
    for images, labels, indices in batches:
        features = model.backbone(images)
        yield [branch.addon(features) for _, branch in model.named_branches()], labels, indices


@all_digits()
@torch.inference_mode()
def search_latents(
    model: PrototypeModel, batches: Iterable[LatentBatch], any_class: bool = False, allowed: Allowed | None = None
) -> list[BestPatches]:
    """As `search`, of training images that the network has seen already."""
    owners = model.ownership.split(model.branch_sizes())
    best: list[BestPatches | None] = [None] * len(owners)
    for latents, labels, indices in batches:
        masks: dict[tuple[int, int], Tensor] = {}
        for b, (z, (_, branch), owner) in enumerate(zip(latents, model.named_branches(), owners, strict=True)):
            prototypes = branch.prototypes.detach()
            holder, size = best[b], map_size(z, prototypes)
            if holder is None:
                holder = best[b] = _empty(prototypes, patch_depth(z, prototypes), size)
            if allowed and size not in masks:
                masks[size] = allowed(indices.tolist(), size).to(z.device)
            for label, rows in _groups(labels, shared=any_class or owner.all_shared):
                chosen = torch.arange(len(prototypes), device=z.device)
                if label is not None:
                    chosen = chosen[owner.of_class(label)]
                if len(chosen):
                    mask = masks[size][rows] if allowed else None
                    _update(holder, chosen, _of_images(branch, z[rows], prototypes[chosen], indices[rows], mask))
    return [
        patches if patches is not None else _empty(branch.prototypes.detach())
        for patches, (_, branch) in zip(best, model.named_branches(), strict=True)
    ]


def _groups(labels: Tensor, shared: bool) -> list[tuple[int | None, Tensor]]:
    """Rows of a batch by label, or all rows at once where every image qualifies for every prototype."""
    if shared:
        return [(None, torch.ones_like(labels, dtype=torch.bool))]
    return [(int(label), labels == label) for label in labels.unique()]


@torch.no_grad()
def replace_prototypes(model: PrototypeModel, patches: list[BestPatches]) -> None:
    """Replace each prototype by its patch; those without one stay as they are."""
    for found, (_, branch) in zip(patches, model.named_branches(), strict=True):
        written = branch.similarity.prototypes_from(found.patch).view_as(branch.prototypes)
        branch.prototypes.data[found.found] = written[found.found].to(branch.prototypes)
