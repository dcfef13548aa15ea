"""When further projections promise nothing (cosine ProtoPNet, "Cosine Similarity is Almost All You Need", 2026)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from protoexplain.config import RunConfig
from protoexplain.models.stage import Stage
from protoexplain.training.state import RunState


def projections_end(accuracies: Iterable[tuple[float, float]], patience: int) -> bool:
    """Whether the last of some projections is one too many.

    A projection gains where the accuracy before it, or that after it, is better than at all earlier ones.

    Args:
        accuracies: Of the validation images, before and after each projection, in [0, 1].
        patience: So many projections in a row without gain are enough, or one after which nothing is right.

    Example:
        >>> projections_end([(0.5, 0.4), (0.6, 0.5), (0.6, 0.5)], patience=2)
        False
        >>> projections_end([(0.5, 0.4), (0.6, 0.5), (0.6, 0.5), (0.4, 0.5)], patience=2)
        True
    """
    best_before = best_after = -math.inf
    idle, after = 0, 1.0
    for before, after in accuracies:
        idle = idle + 1 if before <= best_before and after <= best_after else 0
        best_before, best_after = max(best_before, before), max(best_after, after)
    return idle >= patience or after <= 0


def next_stage(config: RunConfig, stages: Sequence[Stage], state: RunState) -> int:
    """Index of the stage that a run goes on with: the present one, or, where projections bring no gain, what trains the
    head alone after the last of them; the number of stages where nothing is left.
    """
    patience = config.training.projections_without_gain
    if patience is None or not state.projections:
        return state.stage
    rows = [(float(row["validation_before"]), float(row["validation_after"])) for row in state.projections]
    if not projections_end(rows, patience):
        return state.stage
    return max(state.stage, len(stages) - 1 if set(stages[-1].lr) == {"head"} else len(stages))
