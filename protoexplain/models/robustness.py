"""How far an input may move before a shallow component classifier changes its mind.

Saralajew et al. 2025: detections exp(-dist / sigma_k) change by at most a factor exp(+-eps / sigma_k) when
the input moves by eps in the same metric.  The radius covers the shallow model alone: with an encoder in
front, it holds in feature space, not in pixels.  B inputs, K components, R concepts of one class each.
"""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 1e-8


def signed_log_radius(
    detection: Tensor,
    positive: Tensor,
    negative: Tensor,
    concept_class: Tensor,
    labels: Tensor,
    sigma: Tensor,
) -> Tensor:
    """sigma_min ln z*, positive exactly where the best own concept beats all foreign ones.

    z* is the factor exp(eps / sigma_min) at which the worst-case margin C / z - A z + B of a pair of concepts
    is used up: the least over foreign concepts of the greatest over own ones.  A radial basis function
    classifier with softmax weights is the case without negative reasoning.

    Args:
        detection: [B,K] detection probabilities.
        positive: [K,R] positive reasoning (softmax weights of an RBF classifier).
        negative: [K,R] negative reasoning (zeros for an RBF classifier).
        concept_class: [R] class of each concept.
        labels: [B] the class that is defended.
        sigma: Kernel widths; the least of them counts.

    Returns:
        [B], a distance where the kernels use a plain metric; see `radius` for the others.
    """
    found_for, found_against = detection @ positive, detection @ negative
    hurts = found_against[:, :, None] + found_for[:, None]  # [B,i,j]: concept i defended against concept j
    helps = hurts.transpose(1, 2)
    missing = negative.sum(0)
    balance = missing[:, None] - missing
    factor = balance + (balance.square() + 4 * hurts * helps).clamp_min(FLOOR).sqrt()
    factor = factor / (2 * hurts.clamp_min(FLOOR))
    defended = labels[:, None] == concept_class
    best_defence = factor.masked_fill(~defended[:, :, None], -torch.inf).amax(1)
    weakest = best_defence.masked_fill(defended, torch.inf).amin(1)
    return sigma.min() * weakest.clamp_min(FLOOR).log()


def radius(
    log_radius: Tensor,
    squared_distances: Tensor | None = None,
    tangent: bool = False,
    negative_weight: float = 1.0,
) -> Tensor:
    """The certified radius, where positive; otherwise a measure of how wrong the decision is.

    Args:
        log_radius: [B] from `signed_log_radius`.
        squared_distances: [B,K], where the kernels see squared distances: the published radius, which solves
            3 eps^2 + 2 beta eps = kappa with beta the largest distance to a component.
        tangent: Halves the radius, as published for tangent distances.
        negative_weight: Slope of the negative values under squared distances.

    Returns:
        [B].
    """
    eps = log_radius
    if squared_distances is not None:
        third = squared_distances.amax(1).sqrt() / 3
        solved = (third.square() + eps.clamp_min(0) / 3).sqrt() - third
        eps = torch.where(eps > 0, solved, eps * negative_weight)
    return eps / 2 if tangent else eps


def robust_loss(radii: Tensor, margin: float | None = None) -> Tensor:
    """max(0, margin - radius) per input [B]; without a margin the negative radius."""
    return -radii if margin is None else (margin - radii).clamp_min(0)
