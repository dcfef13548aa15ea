"""Detection probabilities of shallow components: how present a component is in an input vector.

Saralajew et al. 2025 for kernels of distances, Saralajew et al. 2019 for the rectified cosine.  B inputs,
K components, F features, S dimensions of a tangent subspace.  Distances are taken from direct differences.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ROOT_OFFSET = 1e-7
"""Added under the root of a distance, so that its gradient exists at zero."""


def squared_distance(x: Tensor, components: Tensor) -> Tensor:
    """||x - w_k||^2, [B,K] from [B,F] and [K,F]."""
    return (x[:, None] - components).square().sum(2)


def tangent_squared_distance(x: Tensor, translations: Tensor, bases: Tensor) -> Tensor:
    """||(I - W_k W_k^T)(x - w_k)||^2, the squared distance to an affine subspace.

    Args:
        x: [B,F].
        translations: [K,F], a point w_k of each subspace.
        bases: [K,F,S], orthonormal columns W_k.

    Returns:
        [B,K].
    """
    difference = x[:, None] - translations
    inside = torch.einsum("bkf,kfs->bks", difference, bases)
    return (difference - torch.einsum("bks,kfs->bkf", inside, bases)).square().sum(2)


def root_distance(squared: Tensor) -> Tensor:
    """sqrt(d^2 + 1e-7) of squared distances."""
    return (squared + ROOT_OFFSET).sqrt()


def positive_sigma(raw: Tensor, offset: float = 1e-7) -> Tensor:
    """|s| + offset, the width that a trained parameter s stands for."""
    return raw.abs() + offset


def exponential_detection(distance: Tensor, sigma: Tensor | float) -> Tensor:
    """exp(-d / sigma), range (0, 1]; sigma is one number or broadcasts over [B,K]."""
    return torch.exp(-distance / sigma)


def relu_cosine(x: Tensor, components: Tensor) -> Tensor:
    """max(0, cos(x, w_k)), [B,K]."""
    return F.relu(F.cosine_similarity(x[:, None], components, dim=2))


def normalised_kernels(responses: Tensor) -> Tensor:
    """Kernel responses [B,K] divided by their sum over the components."""
    return responses / (responses.sum(1, keepdim=True) + 1e-9)
