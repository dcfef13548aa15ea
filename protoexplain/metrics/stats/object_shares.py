"""Scores of how maps lie on the object, beside the share of the picture that is the object."""

from __future__ import annotations

from dataclasses import replace

import torch

from protoexplain.metrics.base import Score
from protoexplain.metrics.observe.localisation import Region
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.averages import mean, over_images

OBJECT_SHARE = "share of the object"


def relevance_score(observed: Observations, which: str) -> Score:
    """The mean of a relevance, ``energy`` or ``mask``, over the images whose object shows."""
    columns = observed.columns["relevance"]
    kinds = columns["region"]
    unknown = kinds != int(Region.USABLE)
    excluded = {
        "images whose object is not known": int((kinds == int(Region.UNKNOWN)).sum()),
        "images whose object does not show": int((kinds == int(Region.EMPTY)).sum()),
    }
    score = over_images(observed, columns[which].masked_fill(unknown, torch.nan), excluded)
    return replace(score, baselines={OBJECT_SHARE: mean(columns["object"].masked_fill(unknown, torch.nan))})
