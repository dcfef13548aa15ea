"""What a network of non-parametric prototypes has to know of its patches before they are clustered."""

from __future__ import annotations

import torch
from torch import Tensor

from protoexplain.models.families.nonparametric.network import NonParametricNet
from protoexplain.models.object_gate import gates_of
from protoexplain.models.principal import foreground_rule
from protoexplain.training.trainer import Trainer

PATCHES, PATCHES_OF_IMAGE = 100_000, 64
"""Most patches that are looked at, in all and of each image."""
_STREAM = 6
"""Of random numbers, beside those of order, pictures, parts, the object gate and the choice of patches."""


@torch.no_grad()
def start_from_patches(run: Trainer, model: NonParametricNet) -> None:
    """Standardise the features, and find the direction that tells the object where no gate does, as configured.

    Args:
        run: Of the model.
        model: Fresh, on a backbone that is not trained any more.
    """
    own_foreground = not (gates_of(model) or model.config.published_foreground)
    if not (model.config.feature_norm or own_foreground):
        return
    vectors, outside = _sample(run, model)
    embedding = model.embedding
    if model.config.feature_norm:
        embedding.mean.copy_(vectors.mean(0))
        embedding.deviation.copy_(vectors.std(0).clamp_min(torch.finfo(vectors.dtype).eps))
    if own_foreground:
        plain = embedding.plain(vectors.to(embedding.mean)[:, :, None, None])[:, :, 0, 0].cpu()
        weight, bias = foreground_rule(plain, outside)
        model.foreground.weight.copy_(weight)
        model.foreground.bias.copy_(bias)


def _sample(run: Trainer, model: NonParametricNet) -> tuple[Tensor, Tensor]:
    """Features [N,D] of random patches of the clean training images, and bool [N], whether they lie at an edge."""
    images = len(run.data.train)
    wanted = max(1, min(PATCHES_OF_IMAGE, PATCHES // images))
    generator = torch.Generator().manual_seed(run.config.training.seed + _STREAM)
    model.backbone.eval()
    vectors: list[Tensor] = []
    outside: list[Tensor] = []
    for pictures, _, _ in run.clean_batches(list(range(images)), "patches"):
        features = model.backbone(pictures).float().cpu()
        edge = torch.ones(features.shape[2:], dtype=torch.bool)
        edge[1:-1, 1:-1] = False
        for patches in features.flatten(2).transpose(1, 2):
            places = torch.randperm(len(patches), generator=generator)[:wanted]
            vectors.append(patches[places])
            outside.append(edge.flatten()[places])
    return torch.cat(vectors), torch.cat(outside)
