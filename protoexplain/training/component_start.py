"""Let the components that all classes share start from the parts of the object: kinds of wings, of tails, of ....

The looks of one part in the classes are grouped, or, where a part has more components than there are classes, its looks
in the images.  Each group is a component, and so are the kinds of background, so that every cell resembles something.
Reasoning over them starts from what the images of the classes show.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.cluster.vq import kmeans2
from torch import Tensor, nn

from protoexplain.errors import UserError
from protoexplain.models.components import ComponentNet
from protoexplain.models.object_gate import embedding_of
from protoexplain.models.parts import TEMPERATURE, PartClassifier
from protoexplain.models.reasoning import ReasoningHead

_STEPS = 30
SHARPNESS = 20.0
"""Of the reasoning that components start with: the logarithm of how much more weight than usual a component gets that
is found in a class for certain and in no other.  So sharp, few components carry an answer (docs/parts.md)."""


@torch.no_grad()
def start_components(model: ComponentNet, first: PartClassifier, shown: Tensor, seed: int) -> None:
    """Write the add-on: its channels are the similarities to the components, divided by the temperature of the parts.

    Args:
        model: Fresh; K components.
        first: Trained; M parts and some kinds of background.
        shown: [N,M,D] mean latent vector of each part in each image, NaN where an image does not show it.
        seed: Of the clustering.

    Raises:
        UserError: Fewer components than parts and kinds of background together.
    """
    (_, branch), (_, learned) = model.named_branches()[0], first.named_branches()[0]
    addon, background = embedding_of(branch.addon), first.background.flatten(1)
    wanted = len(branch.prototypes) - len(background)
    if not isinstance(addon, nn.Conv2d) or wanted < first.parts:
        fix = f"set model.components to {first.parts + len(background)} or more"
        raise UserError("there are fewer components than parts of the object", "model.components", fix)
    counts = components_of_parts(wanted, first.teacher.tells.cpu().numpy())
    found = [part[part.isfinite().all(1)] for part in shown.unbind(1)]
    of_class = learned.prototypes.detach().view(first.classes, first.parts, -1).to(shown).unbind(1)
    kinds = [
        _kinds_of_classes(F.normalize(own, dim=1), count)
        if count <= first.classes
        else _kinds_of_images(F.normalize(part, dim=1), count, seed)
        for own, part, count in zip(of_class, found, counts, strict=True)
    ]
    directions = F.normalize(torch.cat([*kinds, background.to(shown)]), dim=1)
    length = torch.cat(found).norm(dim=1).mean().to(background)
    channels = addon.in_channels
    corners = torch.cat([torch.zeros(1, channels), torch.eye(channels)])[..., None, None]
    shift, *columns = learned.addon.eval()(corners.to(background)).flatten(1)
    scaled = directions.to(background) / (TEMPERATURE * length)
    assert addon.bias is not None
    addon.weight.copy_((scaled @ (torch.stack(columns, 1) - shift[:, None]))[..., None, None])
    addon.bias.copy_(scaled @ shift)


@torch.no_grad()
def start_reasoning(model: ComponentNet, batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Let each class want to find the components that its images show more than those of other classes do, and want to
    miss those that they show less.

    The logit of a class's positive reasoning is how much higher its mean activation of a component is than the mean
    over the classes, times a sharpness; its negative is that of the negative reasoning.  A component that is as usual
    in a class as in the others then says next to nothing.  Heads without reasoning stay as they are.

    Args:
        model: Its components have their first values.
        batches: All training images once: images, labels, indices.
    """
    ((_, branch),) = model.named_branches()
    head = branch.head
    if not isinstance(head, ReasoningHead):
        return
    model.eval()
    sums, counts = torch.zeros_like(head.joint_logits.chunk(2)[0]), head.joint_logits.new_zeros(model.classes)
    for images, labels, _ in batches:
        sums.index_add_(1, labels, model.activations(model.backbone(images)).to(sums).T)
        counts += labels.bincount(minlength=model.classes)
    means = sums / counts.clamp_min(1)
    logits = SHARPNESS * (means - means.mean(1, keepdim=True))
    head.joint_logits.copy_(torch.cat([logits, -logits]))


def components_of_parts(wanted: int, tells: NDArray[np.bool_]) -> list[int]:
    """Of so many components, how many each part gets: those that do not tell classes apart one each, so that their
    cells resemble something; the others what is left, as equally as it goes.
    """
    tells = tells if tells.any() else ~tells
    counts = np.ones(len(tells), dtype=int)
    counts[tells] = [len(some) for some in np.array_split(np.arange(wanted - int((~tells).sum())), tells.sum())]
    return [int(count) for count in counts]


def _kinds_of_classes(vectors: Tensor, count: int) -> Tensor:
    """Vectors [C,D] of the classes, at least `count` -> means [count,D] of groups of those that are alike."""
    groups = groups_of_classes(vectors, count)
    return torch.stack([vectors[groups == group].mean(0) for group in range(count)])


def groups_of_classes(vectors: Tensor, count: int) -> Tensor:
    """The group, int64 [C] from 0 to `count` - 1, of each of the vectors [C,D], at least `count`: groups are of those
    that are alike in direction."""
    if len(vectors) == 1:
        return torch.zeros(1, dtype=torch.long, device=vectors.device)
    tree = linkage(vectors.double().cpu().numpy(), "complete", metric="cosine")
    return torch.from_numpy(cut_tree(tree, count)[:, 0]).long().to(vectors.device)


def _kinds_of_images(vectors: Tensor, count: int, seed: int) -> Tensor:
    """Unit vectors [n,D] of the images -> centres [count,D] of clusters."""
    if count >= len(vectors):
        return vectors[torch.arange(count) % max(1, len(vectors))]
    points = vectors.double().cpu().numpy()
    centres, _ = kmeans2(points, count, iter=_STEPS, minit="++", seed=np.random.default_rng(seed))
    return torch.from_numpy(centres).to(vectors)
