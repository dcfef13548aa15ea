"""Compactness: how many rows of an explanation carry nearly all of the lead of the answer over the runner-up.

The rows of "why this class and not that one" are the prototypes with the difference of their evidence for both; in the
order of what they contribute, the first ones that together reach the share of the lead are counted.  N images, P
prototypes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from protoexplain.metrics.averages import interval_of, listed
from protoexplain.metrics.base import Curve, Metric, Score
from protoexplain.metrics.bootstrap import Numbers
from protoexplain.metrics.observations import Observations

_SHARES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Of the curve."""
_ROUNDING = 1e-6
_EQUAL = "equal rows"
_NO_LEAD = "images whose best two classes have the same score"


class CompactnessSettings(BaseModel):
    """Of the compactness."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(0.9, gt=0, le=1)
    """Of the lead, that the rows have to carry."""


def rows_to_carry(contributions: Tensor, lead: Tensor, share: float) -> Tensor:
    """How many of the largest contributions reach a share of the lead.

    Args:
        contributions: [N,P] evidence of each prototype for the first class minus that for the second.
        lead: [N] score of the first class minus that of the second, not negative.
        share: In (0, 1].

    Returns:
        float64 [N]: NaN without a lead; infinite where all rows together do not reach it, since a constant of the
        class carries the rest.
    """
    carried = contributions.double().sort(1, descending=True).values.cumsum(1)
    reached = carried >= (share - _ROUNDING) * lead.double()[:, None]
    rows = (reached.double().argmax(1) + 1).double().masked_fill(~reached.any(1), torch.inf)
    return rows.masked_fill(lead <= 0, torch.nan)


def medians(counts: Numbers, values: Numbers) -> Numbers:
    """The median of each row of counts [R,U] of ascending values [U]; NaN without any."""
    up_to, total = counts.cumsum(1), counts.sum(1, keepdims=True)
    lower, upper = ((up_to > middle).argmax(1) for middle in ((total - 1) // 2, total // 2))
    return np.where(total[:, 0] > 0, (values[lower] + values[upper]) / 2, np.nan)


def compute(seen: Observations, settings: CompactnessSettings) -> Score:
    """The median over images of the number of rows; all prototypes where all of them do not suffice."""
    contributions, lead = seen.columns["lead"]["contributions"], seen.columns["lead"]["lead"]
    everything = contributions.shape[1]

    def rows(share: float) -> Tensor:
        return rows_to_carry(contributions, lead, share).clamp_max(everything)

    def median(share: float) -> float:
        known = rows(share)
        return float(np.nanmedian(known.numpy())) if not known.isnan().all() else math.nan

    own, shares = rows(settings.share), sorted({*_SHARES, settings.share})
    found = own[~own.isnan()].numpy()
    values, place = np.unique(found, return_inverse=True)
    ends = interval_of(seen, np.eye(len(values))[place], lambda counts: medians(counts, values))
    enough = rows_to_carry(contributions, lead, settings.share).isfinite()
    return Score(
        median(settings.share),
        *ends,
        n_used=len(found),
        over="images",
        excluded={_NO_LEAD: len(own) - len(found)} if len(found) < len(own) else {},
        baselines={_EQUAL: math.ceil((settings.share - _ROUNDING) * everything)},
        curves=(Curve("share of the lead", tuple(shares), tuple(median(share) for share in shares), settings.share),),
        details={"rows": listed(own), "images_whose_rows_do_not_suffice": int(len(found) - enough.sum())},
    )


METRIC = Metric(
    title="Compactness",
    help="Median number of prototypes that carry 90 % of the lead of the answer over the runner-up, counted from the "
    "one that contributes most. Low is good: so many rows have to be shown.",
    unit="rows",
    higher_is_better=False,
    low=0,
    high=math.inf,
    passes=frozenset({"lead"}),
    compute=compute,
    settings=CompactnessSettings,
)
