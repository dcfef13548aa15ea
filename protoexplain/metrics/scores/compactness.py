"""Compactness: how many rows of an explanation carry nearly all of the lead of the answer over the runner-up.

The rows of "why this class and not that one" are the prototypes with the difference of their evidence for both, the
largest first.  They carry the lead from the row on after which all further ones together change it by little, so that
rows which cancel each other do not count as an explanation.  How many carry the same share of all that speaks for the
answer is in the details.  N images, P prototypes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from protoexplain.metrics.base import Curve, Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import interval_of, listed
from protoexplain.metrics.stats.bootstrap import Numbers

_SHARES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Of the curve."""
_ROUNDING = 1e-6
_EQUAL = "equal rows"
_NO_LEAD = "images whose best two classes have the same score"


class CompactnessSettings(MetricSettings):
    """Of the compactness."""

    share: float = Field(0.9, gt=0, le=1)
    """Of the lead, that the rows have to carry."""


def rows_to_carry(contributions: Tensor, lead: Tensor, share: float) -> Tensor:
    """How many rows carry a share of the lead: all further ones together, however many, stay below the rest of it.

    Args:
        contributions: [N,P] evidence of each prototype for the first class minus that for the second; the rows are
            these in the order of their size.
        lead: [N] score of the first class minus that of the second, not negative.
        share: In (0, 1].

    Returns:
        float64 [N]: from 1 to P; NaN without a lead.
    """
    exact, order = contributions.double(), contributions.abs().argsort(dim=1, descending=True, stable=True)
    carried = exact.gather(1, order).cumsum(1)
    apart = (carried[:, -1:] - carried).abs() > (1 - share + _ROUNDING) * lead.double()[:, None]
    number = torch.arange(1, carried.shape[1] + 1, dtype=torch.double)
    return (1 + (number * apart).amax(1)).masked_fill(lead <= 0, torch.nan)


def medians(counts: Numbers, values: Numbers) -> Numbers:
    """The median of each row of counts [R,U] of ascending values [U]; NaN without any."""
    up_to, total = counts.cumsum(1), counts.sum(1, keepdims=True)
    lower, upper = ((up_to > middle).argmax(1) for middle in ((total - 1) // 2, total // 2))
    return np.where(total[:, 0] > 0, (values[lower] + values[upper]) / 2, np.nan)


def compute(observed: Observations, settings: CompactnessSettings) -> Score:
    """The median over images of the number of rows."""
    contributions, lead = observed.columns["lead"]["contributions"], observed.columns["lead"]["lead"]
    everything, shares = contributions.shape[1], tuple(sorted({*_SHARES, settings.share}))
    counts = {share: rows_to_carry(contributions, lead, share) for share in shares}
    own, favour = counts[settings.share], contributions.clamp_min(0)
    in_favour, tied = favour.double().sum(1), int(own.isnan().sum())
    values, place = np.unique(own[~own.isnan()].numpy(), return_inverse=True)
    return Score(
        _median(own),
        *interval_of(observed, np.eye(len(values))[place], lambda totals: medians(totals, values)),
        n_used=len(own) - tied,
        over="images",
        excluded={_NO_LEAD: tied} if tied else {},
        baselines={_EQUAL: math.ceil((settings.share - _ROUNDING) * everything)},
        curves=(Curve("share of the lead", shares, tuple(map(_median, counts.values())), settings.share),),
        details={
            "rows": listed(own),
            "rows_for_all_in_favour": _median(rows_to_carry(favour, in_favour, settings.share)),
            "all_in_favour_per_lead": _median(in_favour / lead.double().masked_fill(lead <= 0, torch.nan)),
        },
    )


def _median(values: Tensor) -> float:
    """Over the values that are not NaN; NaN without any."""
    known = values[~values.isnan()]
    return float(np.median(known.numpy())) if len(known) else math.nan


METRIC = Metric(
    title="Compactness",
    help="Median number of prototypes, those that count most first, after which all others together change the lead of "
    "the answer over the runner-up by less than 10 %. Low is good.",
    unit="rows",
    higher_is_better=False,
    high=math.inf,
    passes=frozenset({"lead"}),
    compute=compute,
    settings=CompactnessSettings,
)
