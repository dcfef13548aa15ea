"""Redundancy: prototypes whose activation another prototype already tells, image by image."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import Field
from torch import Tensor

from protoexplain.metrics.base import Curve, Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import listed, mean, over_prototypes
from protoexplain.metrics.stats.randomness import seed_of

_CONSTANT = "prototypes with the same activation on all images"
_SHUFFLED = "shuffled activations"
_CORRELATIONS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Of the curve."""


class RedundancySettings(MetricSettings):
    """Of the redundancy."""

    correlation: float = Field(0.95, ge=-1, le=1)
    """From this correlation on a prototype is redundant."""


def nearest_twin(activations: Tensor) -> tuple[Tensor, Tensor]:
    """Largest correlation of each prototype's activations [N,P] with another's, and which one it is.

    Returns:
        float64 [P], NaN where the activations are constant or no other prototype's vary; int64 [P].
    """
    exact = activations.double()
    centred = exact - exact.mean(0)
    length = centred.norm(dim=0)
    constant = length <= 1e-6 * exact.norm(dim=0)
    unit = centred / length.masked_fill(constant, 1)
    correlation = (unit.T @ unit).fill_diagonal_(-torch.inf)
    correlation[:, constant] = -torch.inf
    best, twin = correlation.max(1)
    return best.masked_fill(constant | (best == -torch.inf), torch.nan), twin


def compute(observed: Observations, settings: RedundancySettings) -> Score:
    """Share of prototypes with a twin."""
    best, twin = nearest_twin(observed.activations)
    shuffled, _ = nearest_twin(_shuffled(observed))

    def redundant(correlation: float, best: Tensor) -> Tensor:
        return (best >= correlation).double().masked_fill(best.isnan(), torch.nan)

    x = sorted({*_CORRELATIONS, settings.correlation})
    own, chance = (tuple(mean(redundant(level, values)) for level in x) for values in (best, shuffled))
    unknown = best.isnan()
    return replace(
        over_prototypes(observed, redundant(settings.correlation, best), {_CONSTANT: int(unknown.sum())}),
        baselines={_SHUFFLED: chance[x.index(settings.correlation)]},
        curves=(Curve("correlation", tuple(x), own, settings.correlation, {_SHUFFLED: chance}),),
        details={"correlation_with_twin": listed(best), "twin": twin.masked_fill(unknown, -1).tolist()},
    )


def _shuffled(observed: Observations) -> Tensor:
    """The activations of each prototype on the images in an order of its own."""
    generator = torch.Generator().manual_seed(seed_of(observed.settings.seed, "shuffle", ""))
    return observed.activations.gather(0, torch.rand(observed.activations.shape, generator=generator).argsort(0))


METRIC = Metric(
    title="Redundancy",
    help="Share of prototypes whose activations over the test images another prototype repeats almost exactly. Low is "
    "good: a redundant prototype adds weight, not a reason.",
    higher_is_better=False,
    passes=frozenset({"scores"}),
    compute=compute,
    settings=RedundancySettings,
)
