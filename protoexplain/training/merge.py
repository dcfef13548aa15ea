"""Which prototypes of a model say the same: their activations over the training images go up and down together.

Merging after ProtoPShare (Rymarczyk et al. 2021), which merges pairs of prototypes whose activations over the training
images differ least, one after the other; here all groups are found at once, and the measure is the correlation, which
does not depend on how high the activations of a prototype are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from protoexplain.models.base import PrototypeModel


@torch.inference_mode()
def merged_into(model: PrototypeModel, batches: Iterable[tuple[Tensor, Tensor, Tensor]], correlation: float) -> Tensor:
    """As `merged_by`, over batches of all training images (images, labels, indices), for a model in eval mode."""
    model.eval()
    activations = [model.activations(model.backbone(images)).cpu() for images, _, _ in batches]
    return merged_by(torch.cat(activations), model.branch_sizes(), correlation)


def merged_by(activations: Tensor, branch_sizes: Sequence[int], correlation: float) -> Tensor:
    """The prototype that each one of a model goes into: int64 [P], itself where it stays.

    Groups are complete: any two prototypes of one are correlated at least so highly.  The prototype that is most
    highly correlated with the others of its group, on average, stands for it.

    Args:
        activations: [N,P] of N training images.
        branch_sizes: Numbers of prototypes; those of different branches are never merged.
        correlation: From 0 to 1.
    """
    into, start = [], 0
    for part in activations.double().split(list(branch_sizes), 1):
        into.append(start + torch.from_numpy(_representatives(part.numpy(), correlation)))
        start += part.shape[1]
    return torch.cat(into)


def _representatives(activations: np.ndarray, correlation: float) -> np.ndarray:
    """int64 [P] from the activations [N,P] of one branch."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    count = activations.shape[1]
    into = np.arange(count)
    if count < 2:
        return into
    spread = activations.std(0)
    centred = (activations - activations.mean(0)) / np.where(spread > 0, spread, 1)
    correlations = centred.T @ centred / max(1, len(activations))
    np.fill_diagonal(correlations, 1)
    tree = linkage(squareform(np.clip(1 - correlations, 0, 2), checks=False), method="complete")
    groups = fcluster(tree, 1 - correlation, criterion="distance")
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        into[members] = members[correlations[np.ix_(members, members)].mean(1).argmax()]
    return into
