"""Noise in pixels: the same pictures for every backbone; what it does to stability and accuracy."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from metrics.observed import observe, score_of
from tiny_runs import tiny_config, tiny_model
from torch import nn

from protoexplain.metrics.observe.model_description import describe_model
from protoexplain.metrics.observe.passes import Chunk
from protoexplain.metrics.observe.plan import plan_passes
from protoexplain.metrics.scores.accuracy_under_noise import METRIC as ACCURACY
from protoexplain.metrics.scores.stability import METRIC as STABILITY
from protoexplain.metrics.scores.stability_pixel_noise import METRIC as PIXEL_STABILITY
from protoexplain.metrics.settings import MeasureSettings

LABELS = (0, 0, 0, 1, 1, 2, 2, 3)


class Remembers(nn.Module):
    """A backbone that keeps the pictures it is shown."""

    def __init__(self, backbone, deviation):
        super().__init__()
        self.backbone, self.shown = backbone, []
        self.mean, self.std = (torch.full((1, 3, 1, 1), value) for value in (0.5, deviation))

    def forward(self, images):
        self.shown.append(images.clone())
        return self.backbone(images)


def chunk_of(deviation):
    model = tiny_model(tiny_config("protopnet"))
    description = describe_model(model, tuple("abcd"), 64, 3)
    model.backbone = Remembers(model.backbone, deviation)
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    records = [SimpleNamespace(id=f"{number}.jpg") for number in range(4)]
    return Chunk(model, description, images, torch.arange(4), records, [None] * 4)


@torch.no_grad()
def noise_of(kind, deviation):
    """The noise that a backbone with this deviation is shown in the first draw, and the columns of the pass."""
    chunk = chunk_of(deviation)
    columns = plan_passes({kind}, MeasureSettings(draws=2))[0](chunk)
    return chunk.model.backbone.shown[0] - chunk.images, columns, chunk


def test_every_backbone_gets_the_same_pixels():
    """Published noise is 2.2 times as strong where the backbone divides by 0.5 as where it divides by 0.225."""
    resnet, lite = (noise_of("pixel_noise", deviation)[0] for deviation in (0.225, 0.5))
    assert torch.equal(resnet, lite)
    published = [noise_of("noisy", deviation)[0].std() for deviation in (0.225, 0.5)]
    assert float(published[1] / published[0]) == pytest.approx(0.5 / 0.225, rel=1e-3)
    assert float(resnet.std()) == pytest.approx(float(published[0]), rel=0.01), "as published for a ResNet"
    assert float(resnet.abs().max()) == pytest.approx(0.25 * 0.225, abs=1e-6)


def test_class_scores_are_those_of_the_noisy_pictures():
    _, columns, chunk = noise_of("pixel_noise", 0.5)
    shown = chunk.model.backbone.shown[0]
    with torch.no_grad():
        torch.testing.assert_close(columns["logits"], chunk.model(shown).logits)
    assert not torch.equal(columns["logits"], chunk.output.logits)


def with_noise(observed, draws):
    passes = {f"pixel noise/{draw}": columns for draw, columns in enumerate(draws)}
    kept = {name: columns for name, columns in observed.columns.items() if not name.startswith("pixel noise/")}
    return replace(observed, columns={**kept, **passes})


def test_stability_looks_at_its_own_noise():
    """Peaks that pixel noise leaves alone are stable, whatever the published noise does; and the other way round."""
    observed = observe(LABELS)
    still = {"peaks": observed.peaks, "logits": observed.logits}
    assert score_of(PIXEL_STABILITY, with_noise(observed, [still])).value == 100
    assert score_of(STABILITY, observed).value < 100
    elsewhere = {"peaks": 63 - observed.peaks, "logits": observed.logits}
    half = score_of(PIXEL_STABILITY, with_noise(observed, [still, elsewhere]))
    assert half.details["by_draw"][0] == 100
    assert half.value == pytest.approx(sum(half.details["by_draw"]) / 2)
    assert half.value < 100
    assert score_of(STABILITY, with_noise(observed, [elsewhere])).value == score_of(STABILITY, observed).value


def test_accuracy_under_noise_is_a_share_of_the_clean_one():
    """Of eight images six are right; noise takes two of them in one draw and none in the other."""
    observed = observe(LABELS)
    right = torch.nn.functional.one_hot(observed.labels, 4).float()
    wrong = right.roll(1, 1)

    def logits(names):
        return torch.where(torch.tensor([number in names for number in range(8)])[:, None], right, wrong)

    columns = {**observed.columns, "scores": {**observed.columns["scores"], "logits": logits({0, 1, 2, 3, 4, 5})}}
    draws = [{"peaks": observed.peaks, "logits": logits(names)} for names in ({0, 1, 2, 3}, {0, 1, 2, 3, 4, 5})]
    score = score_of(ACCURACY, with_noise(replace(observed, columns=columns), draws))
    assert score.value == pytest.approx((4 / 8 + 6 / 8) / 2 / (6 / 8))
    assert score.baselines["chance"] == pytest.approx(0.25 / 0.75)
    assert score.details["by_draw"] == [0.5, 0.75]
    assert score.low <= score.value <= score.high
    never = {**observed.columns, "scores": {**observed.columns["scores"], "logits": wrong}}
    nothing = score_of(ACCURACY, with_noise(replace(observed, columns=never), draws))
    assert nothing.value != nothing.value, "no accuracy to be a share of"
