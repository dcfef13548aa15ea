"""Let prototypes start from the parts of the object: from the mean patch of each part in each class.

The parts are discovered without part labels; which part a cell shows is told by a teacher that looks at the backbone as
it was before fine-tuning.  N images, C classes, M parts, H x W cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.errors import UserError
from protoexplain.models.base import Branch
from protoexplain.models.object_gate import embedding_of
from protoexplain.models.parts import BACKGROUNDS, PartClassifier, PartTeacher
from protoexplain.training.foreground import coverage
from protoexplain.training.part_choice import best_regions, between_classes, found_again, tells_classes
from protoexplain.training.part_discovery import discover_parts
from protoexplain.training.steadiness import NEVER, gives_way, steadiness
from protoexplain.training.trainer import Trainer

_AT_ONCE = 256
_BACKGROUND = 4
"""Stream of random numbers, beside those of order, pictures and the choice of patches."""


@torch.no_grad()
def fit_teacher(run: Trainer, teacher: PartTeacher) -> None:
    """Discover the regions of the object in the training images of a run, and choose those that tell classes apart and
    are found again in other divisions, the best one first, unless the teacher knows them.
    """
    if teacher.fitted:
        return
    parts = [(*_both_ends(teacher.backbone, images), labels) for images, labels, _ in _images(run, "parts")]
    features, low, labels = (torch.cat(tensors).to(run.fabric.device) for tensors in zip(*parts, strict=True))
    covered = coverage(run.data.train, run.data.crop, features.shape[2:]).to(run.fabric.device)
    run.callbacks.watcher.line("looking for the parts of the object")
    with torch.enable_grad():
        discover_parts(teacher, features, covered, _seed(run))
    divisions = torch.cat([teacher.regions_of(some.float()) for some in features.split(_AT_ONCE)], 1).unbind()
    agreement = found_again(divisions, teacher.regions)
    telling = [between_classes(low, division, labels, teacher.regions) for division in divisions]
    best, chosen = best_regions(torch.stack(telling) * torch.stack(agreement), teacher.parts)
    tells = tells_classes(telling[best], chosen)
    teacher.choose_parts(chosen.to(run.fabric.device), best, tells.to(run.fabric.device))
    again = ", ".join(f"{100 * share:.0f}%" for share in agreement[best][chosen].tolist())
    run.callbacks.watcher.line(f"{teacher.parts} of {teacher.regions} regions are parts; found again: {again}")
    if not tells.all():
        run.callbacks.watcher.line(f"{int((~tells).sum())} of them do not tell classes apart by their own look")


def _both_ends(backbone: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Of a backbone, the features [B,D,H,W], and those of its lowest layers [B,d,H,W], or the colours themselves."""
    stem = getattr(backbone, "has_stem", False)
    low = backbone.stem(images) if stem else images  # type: ignore[operator]
    features = backbone.after_stem(low) if stem else backbone(images)  # type: ignore[operator]
    return features.half().cpu(), F.adaptive_avg_pool2d(low, features.shape[2:]).half().cpu()


@torch.no_grad()
def start_part_classifier(run: Trainer, model: PartClassifier) -> None:
    """Discover the parts, and write the mean patches of each class and random patches of the background."""
    fit_teacher(run, model.teacher)
    _write_means(run, model.teacher, [torch.arange(model.parts)])
    generator = torch.Generator().manual_seed(_seed(run) + _BACKGROUND)
    (_, branch), found = model.named_branches()[0], []
    for images, _, _ in _images(run, "background"):
        z = branch.addon(model.backbone(images)).permute(0, 2, 3, 1)
        cells = z[model.teacher.of_images(images) == model.parts]
        if len(cells):
            found.append(cells[int(torch.randint(len(cells), (), generator=generator))])
        if len(found) == BACKGROUNDS:
            break
    for row, cell in enumerate(found):
        model.background.data[row] = cell[:, None, None]


@torch.no_grad()
def start_from_parts(run: Trainer, first: PartClassifier) -> None:
    """Write the parts into the prototypes of each class: the first branch gets the most telling ones, the next branch
    those after them.  Where `training.fine_tuning.steady` asks for it, decide which of them do not keep to one region
    of the object, or show a part that does not tell classes apart by its own look, and give way to others of their
    class before the first projection.

    A linear add-on takes over the embedding of the part classifier, and its prototypes with it; with other add-ons
    prototypes start from the mean patches of the parts.

    Args:
        run: Its model has the same number of prototypes for each class, at most one for each part.
        first: Trained.

    Raises:
        UserError: Numbers of prototypes that do not fit, or maps not as large as those of the parts.
    """
    model = run.model
    owners = model.ownership.labels.split(model.branch_sizes())
    counts = torch.stack([owner.bincount(minlength=model.classes) for owner in owners])
    wanted = int(counts.max())
    if not (counts == wanted).all() or wanted > first.parts:
        raise UserError(
            f"each class needs the same number of prototypes, at most one for each of the {first.parts} parts",
            "model.prototypes_per_class",
            f"choose at most {first.parts}, or raise training.fine_tuning.parts",
        )
    branches = [branch for _, branch in model.named_branches()]
    parts = [
        (torch.arange(wanted) + place * wanted).remainder(first.parts).sort().values for place in range(len(branches))
    ]
    _, learned = first.named_branches()[0]
    addons = [embedding_of(branch.addon) for branch in branches]
    taken = [copy_embedding(addon, learned.addon) for addon in addons]
    if all(taken) and not any(map(ends_in_sigmoid, addons)):
        of_class = learned.prototypes.detach().view(first.classes, first.parts, -1)
        for branch, owner, own in zip(branches, owners, parts, strict=True):
            chosen = branch.similarity.prototypes_from(of_class[:, own].flatten(0, 1))
            branch.prototypes.data[owner.argsort(stable=True)] = chosen.view_as(branch.prototypes)
    else:
        _write_means(run, first.teacher, parts)
    least = run.config.training.fine_tuning.steady
    if least:
        of_part = steadiness(first, _images(run, "where prototypes look")).view(first.classes, first.parts)
        of_part[:, ~first.teacher.tells.cpu()] = NEVER
        shares = torch.cat(
            [of_part[:, own].flatten()[_places(owner)] for owner, own in zip(owners, parts, strict=True)]
        )
        groups = torch.cat([owner.cpu() + place * model.classes for place, owner in enumerate(owners)])
        run.state.gives_way = gives_way(shares, groups, least)


def _places(owner: Tensor) -> Tensor:
    """Place of each prototype [P] of a branch in the order of the classes that own them."""
    return owner.argsort(stable=True).argsort().cpu()


@torch.no_grad()
def parts_of_images(run: Trainer, first: PartClassifier) -> Tensor:
    """float32 [N,M,D] on the CPU: the mean latent vector of the cells that show each part, NaN where none does."""
    first.eval()
    ((_, branch),), found = first.named_branches(), []
    for images, _, _ in _images(run, "parts of the images"):
        z = branch.addon(first.backbone(images)).flatten(2).float()
        shown = F.one_hot(first.teacher.of_images(images).flatten(1), first.parts + 1)[..., : first.parts].to(z)
        found.append(((z @ shown) / shown.sum(1, keepdim=True)).transpose(1, 2).cpu())
    return torch.cat(found)


@torch.no_grad()
def copy_embedding(addon: nn.Module, embedding: nn.Module, factor: float = 1.0) -> bool:
    """Let an add-on begin as an embedding: the first of its convolutions embeds, and the others pass on what they are
    given.  An add-on that does not take it, see `takes_embedding`, stays as it is.

    Args:
        addon: May be changed.
        embedding: A batch norm and a 1 x 1 convolution without bias.
        factor: Of what the convolutions give.

    Returns:
        Whether the add-on took the embedding over.
    """
    norm, own = embedding.children()
    assert isinstance(own, nn.Conv2d)
    if not takes_embedding(addon, own.in_channels, own.out_channels):
        return False
    own_norm, *convolutions = _without_sigmoid(addon)
    own_norm.load_state_dict(norm.state_dict())
    for layer in convolutions:
        nn.init.dirac_(layer.weight)  # type: ignore[arg-type]
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    convolutions[0].weight.copy_(factor * own.weight)  # type: ignore[operator]
    return True


def takes_embedding(addon: nn.Module, channels: int, width: int) -> bool:
    """Whether an add-on is a batch norm, 1 x 1 convolutions of which the first goes from so many channels to a width
    that the others keep, and perhaps a sigmoid in the end."""
    norm, *convolutions = _without_sigmoid(addon)
    shapes = [tuple(layer.weight.shape) if isinstance(layer, nn.Conv2d) else () for layer in convolutions]
    wanted = [(width, channels, 1, 1), *[(width, width, 1, 1)] * (len(convolutions) - 1)]
    return isinstance(norm, nn.BatchNorm2d) and bool(shapes) and shapes == wanted


def ends_in_sigmoid(addon: nn.Module) -> bool:
    """Whether an add-on gives numbers from 0 to 1."""
    return isinstance(_layers(addon)[-1], nn.Sigmoid)


def _without_sigmoid(addon: nn.Module) -> list[nn.Module]:
    layers = _layers(addon)
    return layers[:-1] if ends_in_sigmoid(addon) else layers


def _layers(addon: nn.Module) -> list[nn.Module]:
    return [module for module in addon.modules() if not list(module.children())]


def _write_means(run: Trainer, teacher: PartTeacher, parts: Sequence[Tensor]) -> None:
    """Write the mean patch of each of some parts, for each branch, in each class into the prototypes of that class.

    The add-ons work on batch statistics here, since they have seen no image yet.
    """
    model = run.model.eval()
    branches = [branch for _, branch in model.named_branches()]
    for branch in branches:
        use_batch_statistics(embedding_of(branch.addon))
    totals, count = _class_part_sums(run, branches, teacher)
    owners = model.ownership.labels.split(model.branch_sizes())
    for branch, owner, total, own in zip(branches, owners, totals, parts, strict=True):
        known = count[:, own].flatten() > 0
        written = branch.similarity.prototypes_from((total / count.clamp_min(1)[..., None])[:, own].flatten(0, 1))
        rows = owner.argsort(stable=True)[known]
        branch.prototypes.data[rows] = written[known].view(-1, *branch.prototypes.shape[1:])
    model.eval()


def use_batch_statistics(addon: nn.Module) -> None:
    """Let layers that have seen no image work on the statistics of batches, and begin to collect them anew."""
    addon.train()
    for module in addon.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()


def _class_part_sums(run: Trainer, branches: Sequence[Branch], teacher: PartTeacher) -> tuple[list[Tensor], Tensor]:
    """From one pass over the images: for each branch sums [C,M,D] of the latent cells that show each part in the images
    of each class; and the numbers [C,M] of these cells.
    """
    totals: list[Tensor] = []
    count = torch.zeros(run.model.classes * teacher.parts, device=run.fabric.device)
    for images, labels, _ in _images(run, "parts of the classes"):
        features, shown = run.model.backbone(images), teacher.of_images(images)
        on_part = shown < teacher.parts
        place = (labels[:, None, None] * teacher.parts + shown)[on_part]
        latents = [branch.addon(features) for branch in branches]
        totals = totals or [z.new_zeros(len(count), z.shape[1], dtype=torch.float32) for z in latents]
        for branch, z, total in zip(branches, latents, totals, strict=True):
            if z.shape[2:] != shown.shape[1:] or branch.prototypes.shape[2:] != (1, 1):
                raise UserError(
                    f"maps of {tuple(z.shape[2:])} cells cannot start from parts on {tuple(shown.shape[1:])} cells",
                    "model.start",
                    "use prototypes of one cell on the features of the backbone, or another start",
                )
            total.index_add_(0, place, z.permute(0, 2, 3, 1)[on_part].float())
        count += torch.bincount(place, minlength=len(count))
    shape = (run.model.classes, teacher.parts)
    return [total.view(*shape, -1) for total in totals], count.view(shape)


def _images(run: Trainer, what: str) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    return run.clean_batches(list(range(len(run.data.train))), what)


def _seed(run: Trainer) -> int:
    return run.config.training.seed
