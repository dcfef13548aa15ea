"""Certified accuracy from known radii."""

from types import SimpleNamespace

import pytest
import torch

from protoexplain.metrics.scores.certified_accuracy import METRIC, CertificateSettings
from protoexplain.metrics.settings import MeasureSettings

RADII = (2.0, 0.5, 0.4, 0.0, -0.3)


def test_right_answers_whose_radius_is_large_enough_count():
    observed = SimpleNamespace(
        columns={"certificate": {"radius": torch.tensor(RADII)}}, settings=MeasureSettings(resamples=100)
    )
    score = METRIC.compute(observed, CertificateSettings(radius=0.5, radii=(1.0, 0.0)))
    assert score.value == pytest.approx(2 / 5)
    assert score.per_image == (1, 1, 0, 0, 0)
    assert score.low <= score.value <= score.high
    (curve,) = score.curves
    assert curve.x == (0.0, 0.5, 1.0)
    assert curve.y == pytest.approx((3 / 5, 2 / 5, 1 / 5))
    assert curve.chosen == 0.5
    assert score.details["median_radius"] == pytest.approx(0.4)
