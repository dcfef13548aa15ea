"""Whether peaks follow the content of an image through views of known geometry.

Peaks in all views are brought back into the image.  V views; the image itself is one more, the first.  N images, K
prototypes of an image's class, P prototypes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.observe.views import in_image, in_view
from protoexplain.metrics.stats.part_hits import baseline_peaks

UNMOVED = "peak that stays"
NO_VIEW = "prototypes whose peaks no view shows"


def distances(observed: Observations, peaks: Tensor) -> tuple[Tensor, Tensor]:
    """How far peaks lie from each other, brought into the image, and which views show the place of each.

    Args:
        observed: For the warps of the views.
        peaks: int [V+1,N,K,2] (y, x) in the image and its views.

    Returns:
        float64 [V+1,V+1,N,K] larger of the distances across and down, in pixels; bool of the same shape, whether the
        place of the first index shows in the view of the second.
    """
    size, warps = observed.description.size, observed.stacked("views", "warp")
    points = torch.cat([peaks[:1].flip(3).double() + 0.5, in_image(peaks[1:], warps)])
    shown = []
    for point in points:
        places = torch.cat([point[None], in_view(point.expand(len(warps), *point.shape), warps)])
        shown.append(((places >= 0) & (places < size)).all(-1))
    return (points[:, None] - points).abs().amax(-1), torch.stack(shown)


def own_peaks(observed: Observations) -> Tensor:
    """[V+1,N,K,2]."""
    return torch.cat([observed.peaks[None], observed.stacked("views", "peaks")])


def baseline_distances(observed: Observations) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """`distances` of models that ignore the image.

    Their peaks are always in the middle, anywhere, or in each view at the same pixel as in the image.
    """
    views = len(observed.stacked("views", "warp"))
    tables: dict[str, Sequence[Sequence[Tensor]]] = {
        **baseline_peaks(observed, passes=views + 1),
        UNMOVED: [[observed.peaks] * (views + 1)],
    }
    return {name: [distances(observed, torch.stack(list(peaks))) for peaks in draws] for name, draws in tables.items()}


def agreement(values: Tensor, others: Tensor) -> dict[str, Any]:
    """Spearman's rank correlation over the prototypes [P] that both scores could be measured for; None if undefined."""
    from scipy.stats import spearmanr

    both = values.isfinite() & others.isfinite()
    pairs = values[both].numpy(), others[both].numpy()
    varied = all(len(set(column.tolist())) > 1 for column in pairs)
    rank = float(spearmanr(*pairs).statistic) if varied else math.nan
    return {"rank_correlation": rank if math.isfinite(rank) else None, "prototypes": int(both.sum())}
