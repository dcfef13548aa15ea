"""Patches of the training images, for models that have to know something of them before they are trained."""

from __future__ import annotations

import torch
from torch import Tensor

from protoexplain.training.trainer import Trainer

PATCHES, PATCHES_OF_IMAGE = 100_000, 64
"""Most patches that are looked at, in all and of each image."""
_STREAM = 6
"""Of random numbers, beside those of order, pictures, parts, the object gate and the choice of patches."""


@torch.no_grad()
def sampled_patches(run: Trainer) -> tuple[Tensor, Tensor]:
    """Random patches of the clean training images, as the model's backbone sees them.

    Returns:
        Features float32 [N,D] on the CPU, and bool [N], whether each patch lies at an edge of its image.
    """
    images = len(run.data.train)
    wanted = max(1, min(PATCHES_OF_IMAGE, PATCHES // images))
    generator = torch.Generator().manual_seed(run.config.training.seed + _STREAM)
    run.model.backbone.eval()
    vectors: list[Tensor] = []
    outside: list[Tensor] = []
    for pictures, _, _ in run.clean_batches(list(range(images)), "patches"):
        features = run.model.backbone(pictures).float().cpu()
        edge = torch.ones(features.shape[2:], dtype=torch.bool)
        edge[1:-1, 1:-1] = False
        for patches in features.flatten(2).transpose(1, 2):
            places = torch.randperm(len(patches), generator=generator)[:wanted]
            vectors.append(patches[places])
            outside.append(edge.flatten()[places])
    return torch.cat(vectors), torch.cat(outside)
