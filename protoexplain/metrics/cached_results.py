"""Results of earlier measurements of a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.model_card import INTERPRETABILITY
from protoexplain.errors import UserError
from protoexplain.metrics.base import MetricResult


def cached_results(checkpoint: Checkpoint) -> dict[str, MetricResult]:
    """Metric -> result; empty where nothing was measured.

    Raises:
        UserError: Its measurements hold something else under that name.
    """
    table = checkpoint.metrics.get(INTERPRETABILITY, {})
    try:
        if not isinstance(table, dict):
            raise ValueError("not a table")
        return {name: MetricResult.from_dict(name, content) for name, content in table.items()}
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(
            f"the measured metrics cannot be read: {reason}",
            str(checkpoint.path),
            "measure again: protoexplain measure CHECKPOINT --data DIR",
        ) from error


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Names of checkpoints for people: the last parts of their paths, as many as it takes to tell them apart."""
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise UserError("a checkpoint is given twice", str(paths[0]), "name each one once")
