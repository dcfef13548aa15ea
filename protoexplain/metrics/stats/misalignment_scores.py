"""Scores of the attack outside the boxes from observations, beside those of uniform noise of the same size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from protoexplain.metrics.base import Score
from protoexplain.metrics.observe.observations import Columns, Observations
from protoexplain.metrics.stats.averages import mean, over_images

UNIFORM = "uniform noise of the same size"


def attack_score(observed: Observations, values: Callable[[Columns], Tensor], excluded: str = "") -> Score:
    """The mean over images of values [N] of what the attack changed.

    Args:
        observed: Of the model.
        values: From the columns of the attack.
        excluded: Why images are left out.
    """
    kind = observed.settings.attack.kind
    found = values(observed.columns[f"attack/{kind}"])
    noise = mean(values(observed.columns["attack/uniform"]))
    free = observed.columns[f"attack/{kind}"]["free"]
    return replace(
        over_images(observed, found, {excluded: int(found.isnan().sum())}),
        baselines={} if kind == "uniform" else {UNIFORM: noise},
        details={"share_of_the_picture_attacked": float(free.mean())},
    )


def of_target(columns: Columns, which: str) -> Tensor:
    """[N]: the activation of the attacked prototype ``before`` or ``after``."""
    return columns[which].gather(1, columns["target"][:, None])[:, 0]
