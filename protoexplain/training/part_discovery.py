"""Find the parts of the object without part labels: regions of the object that are compact, of equal share, and
recognised by their features in all images.

The losses are those of unsupervised part discovery (Hung et al. 2019, "SCOPS: Self-Supervised Co-Part Segmentation";
van der Klis et al. 2023, "PDiscoNet: Semantically Consistent Part Discovery for Fine-Grained Recognition"), on the
features of a frozen backbone, where a few hundred steps of two 1 x 1 convolutions take seconds.
N images, H x W cells, R regions, D channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models.parts import PartTeacher
from protoexplain.training.foreground import ON_OBJECT

STEPS, BATCH, LR = 500, 32, 1e-2
CONCENTRATION, PRESENCE, ENTROPY, BALANCE, OBJECT = 3.0, 1.0, 0.1, 1.0, 1.0
"""Weights of the loss terms."""


def discover_parts(teacher: PartTeacher, features: Tensor, coverage: Tensor, seed: int) -> None:
    """Fit all divisions of a teacher to the features of its frozen backbone.

    Args:
        teacher: Its norm and layers are set.
        features: [N,D,H,W] of the training images.
        coverage: [N,H,W] share of each cell that the object covers, in [0, 1].
        seed: Of first weights and batches.
    """
    features = features[:, : teacher.channels]
    teacher.norm.running_mean, teacher.norm.running_var = statistics(features)
    for number, division in enumerate(teacher.divisions):
        assert isinstance(division, nn.Sequential)
        generator = torch.Generator().manual_seed(seed * len(teacher.divisions) + number)
        _divide(teacher.norm, division, features, coverage, generator)
    teacher.fitted.fill_(True)


def _divide(
    norm: nn.Module, division: nn.Sequential, features: Tensor, coverage: Tensor, generator: torch.Generator
) -> None:
    """Fit the layers after a norm, from random weights."""
    for layer in division:
        if isinstance(layer, nn.Conv2d):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            for parameter in layer.parameters():
                parameter.data.copy_(torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))
    parameters = list(division.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters, LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        chosen = torch.randint(len(features), (BATCH,), generator=generator)
        loss = part_loss(division(norm(features[chosen].float())), coverage[chosen] >= ON_OBJECT)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    for parameter in parameters:
        parameter.requires_grad_(False)


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance [D] of the channels of [N,D,H,W]."""
    channels = features.float().transpose(0, 1).flatten(1)
    return channels.mean(1), channels.var(1) + 1e-10


def part_loss(logits: Tensor, on_object: Tensor) -> Tensor:
    """What makes regions of the object parts of it.

    Args:
        logits: [B,R+1,H,W]; the last is the background.
        on_object: bool [B,H,W].

    Returns:
        The weighted sum of: concentration, the variance of places inside parts as a share of that of the object;
        presence, the distance of each part's largest probability from one; the entropy of a cell's parts; balance,
        how far the mean shares of the parts are from equal; and the cross entropy between object and background.
    """
    parts, background = logits[:, :-1], logits[:, -1]
    probability = parts.softmax(1) * on_object[:, None]
    height, width = on_object.shape[1:]
    down = torch.linspace(-1, 1, height, device=logits.device)[:, None]
    across = torch.linspace(-1, 1, width, device=logits.device)
    area = on_object.sum((1, 2)).clamp_min(1)
    mass = probability.sum((2, 3)) + 1e-6
    share = mass / mass.sum(1, keepdim=True)
    spread = _variance(probability, mass, down, across)
    whole = _variance(on_object[:, None].to(logits), area[:, None].to(logits), down, across) + 1e-4
    concentration = (spread / whole * share).sum(1).mean()
    presence = (1 - probability.flatten(2).amax(2)).mean()
    entropy = (-(probability * (probability + 1e-9).log()).sum((1, 2, 3)) / area).mean()
    usual = share.mean(0)
    balance = (usual * (usual * len(usual) + 1e-9).log()).sum()
    is_object = F.binary_cross_entropy_with_logits(parts.logsumexp(1) - background, on_object.to(logits))
    terms = (concentration, presence, entropy, balance, is_object)
    weights = (CONCENTRATION, PRESENCE, ENTROPY, BALANCE, OBJECT)
    return torch.stack([weight * term for weight, term in zip(weights, terms, strict=True)]).sum()


def _variance(weight: Tensor, mass: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """[B,R]: mean squared distance from the centre of each weight map [B,R,H,W] of given mass [B,R]."""
    y, x = (weight * down).sum((2, 3)) / mass, (weight * across).sum((2, 3)) / mass
    squared = (down - y[..., None, None]).square() + (across - x[..., None, None]).square()
    return (weight * squared).sum((2, 3)) / mass
