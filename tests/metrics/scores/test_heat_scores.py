"""Localisation and deletion against slow loops."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.observed import observe, score_of
from PIL import Image
from torch import nn

from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.records import ImageRecord
from protoexplain.data.regions import object_region
from protoexplain.metrics.observe.localisation import LEVELS, UNDEFINED, Region, localisation
from protoexplain.metrics.observe.masking import area, heat_ranks, masked_scores
from protoexplain.metrics.scores.content_heatmap import METRIC as CONTENT
from protoexplain.metrics.scores.deletion import METRIC as DELETION
from protoexplain.metrics.scores.heatmap_iou import METRIC as IOU
from protoexplain.metrics.scores.outside_inside_ratio import METRIC as RATIO
from protoexplain.metrics.scores.pointing_game import METRIC as POINTING
from protoexplain.models.base import BranchOutput, PrototypeOutput


@given(seed=st.integers(0, 1000), height=st.integers(20, 40), width=st.integers(20, 40))
@settings(max_examples=15, deadline=None)
def test_localisation_equals_opencv_and_loops(seed, height, width):
    rng = np.random.default_rng(seed)
    heat, region = rng.random((5, 7), dtype=np.float32), rng.random((height, width)) < 0.4
    pixels = cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC)
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    content, ratio, iou = localisation(torch.from_numpy(heat)[None], torch.from_numpy(region))
    assert float(content) == pytest.approx(pixels[region].mean(), abs=1e-5)
    assert float(ratio) == pytest.approx(pixels[~region].mean() / pixels[region].mean(), abs=1e-4)
    for number, level in enumerate(LEVELS):
        above = pixels >= np.float32(level)
        expected = (above & region).sum() / ((above | region).sum() + 1e-8)
        assert float(iou[0, number]) == pytest.approx(expected, abs=2 / (height * width))


class TestRegion:
    def record(self, tmp_path, mask=None, box=None):
        path = None
        if mask is not None:
            path = tmp_path / "mask.png"
            Image.fromarray(mask).save(path)
        return ImageRecord("a.jpg", tmp_path / "a.jpg", 0, "test", box, None, path)

    def test_mask_is_cut_like_the_image(self, tmp_path):
        mask = np.zeros((30, 40), dtype=np.uint8)
        mask[5:20, 10:30] = 7
        found = object_region(self.record(tmp_path, mask), Geometry(Box(8, 4, 32, 24), 64))
        assert found.shape == (20, 24)
        assert np.array_equal(found, mask[4:24, 8:32] > 0)

    def test_box_stands_in_for_a_mask(self, tmp_path):
        found = object_region(self.record(tmp_path, box=Box(10, 5, 30, 99)), Geometry(Box(0, 0, 40, 30), 64))
        assert found.shape == (30, 40)
        assert found.sum() == 20 * 25
        assert found[5:, 10:30].all()

    def test_box_that_is_all_there_is_says_nothing(self, tmp_path):
        assert object_region(self.record(tmp_path, box=Box(10, 5, 30, 20)), Geometry(Box(10, 5, 30, 20), 64)) is None
        assert object_region(self.record(tmp_path), Geometry(Box(0, 0, 40, 30), 64)) is None

    def test_mask_of_another_size_is_not_used(self, tmp_path):
        small = np.ones((10, 10), dtype=np.uint8)
        assert object_region(self.record(tmp_path, small), Geometry(Box(0, 0, 40, 30), 64)) is None


def with_localisation(observed, **columns):
    return replace(
        observed, columns={**observed.columns, "localisation": {**observed.columns["localisation"], **columns}}
    )


def test_unusable_images_are_counted_by_reason():
    observed = observe([0, 0, 1, 1, 2, 3])
    region = torch.tensor([Region.USABLE, Region.UNKNOWN, Region.EMPTY, Region.FULL, Region.USABLE, Region.USABLE])
    content = observed.columns["localisation"]["content"].clone()
    content[5, 0] = UNDEFINED
    observed = with_localisation(observed, region=region.to(torch.int8), content=content)
    score = score_of(CONTENT, observed)
    assert score.excluded == {
        "images without mask or box": 1,
        "images whose object is empty": 1,
        "images with a map that is constant, or cold on the object": 1,
    }
    assert score.value == pytest.approx(float(content[[0, 3, 4], 0].double().mean()))
    assert score.per_image[1] is score.per_image[2] is score.per_image[5] is None
    assert "images that the object fills" in score_of(RATIO, observed).excluded
    assert score_of(IOU, observed, level=0.5).n_used == 4


def test_prototypes_on_the_object_score_one():
    observed = observe([0, 0, 1, 1, 2, 3])
    region = torch.zeros(6, dtype=torch.int8)
    region[5] = Region.EMPTY
    on = torch.ones_like(observed.columns["localisation"]["on_object"])
    score = score_of(POINTING, with_localisation(observed, on_object=on, region=region))
    assert score.value == 1
    assert score.excluded == {"prototypes without an image whose object is known": 3}


# ---------------------------------------------------------------------- deletion and insertion


class Brightness(nn.Module):
    """Two branches that score classes by the mean brightness of picture halves."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[4.0, -3.0], [-2.0, 5.0]]))
        self.backbone = nn.Module()
        self.backbone.mean = torch.full((1, 3, 1, 1), 0.25)

    def forward(self, images):
        halves = torch.stack([half.mean((1, 2, 3)) for half in images.chunk(2, 3)], 1)
        branches = {str(k): BranchOutput(halves, (k + 1) * halves @ self.weight.T) for k in range(2)}
        return PrototypeOutput(sum(branch.logits for branch in branches.values()), branches)

    def probabilities(self, logits):
        return logits.softmax(1)


def one_by_one(model, image, heat, steps, mode):
    """Petsiuk et al. 2018 with one picture at a time and a sort of pixels."""
    size = image.shape[1]
    pixels = cv2.resize(heat, (size, size), interpolation=cv2.INTER_CUBIC).ravel()
    order = np.argsort(-pixels, kind="stable")

    def score(picture, label=None):
        branches = model(picture[None]).branches.values()
        mean = sum(branch.logits.softmax(1) for branch in branches)[0] / 2
        return int(mean.argmax()) if label is None else float(mean[label])

    label, scores = score(image), []
    for step in range(steps + 1):
        changed = np.zeros(size * size, dtype=bool)
        changed[order[: round(size * size * step / steps)]] = True
        blank = changed.reshape(size, size) if mode == "deletion" else ~changed.reshape(size, size)
        picture = image.clone()
        picture[:, torch.from_numpy(blank)] = 0.25
        scores.append(score(picture, label))
    return scores


@pytest.mark.parametrize("mode", ["deletion", "insertion"])
@pytest.mark.parametrize("steps", [1, 7, 28])
@torch.no_grad()
def test_masked_scores_equal_single_pictures(mode, steps):
    model, generator = Brightness(), torch.Generator().manual_seed(0)
    images, heat = torch.rand(3, 3, 32, 32, generator=generator), torch.rand(3, 4, 4, generator=generator)
    output = model(images)
    whole = torch.stack([branch.logits.softmax(1) for branch in output.branches.values()]).mean(0)
    found = masked_scores(model, images, whole, heat_ranks(heat, 32), steps, mode)
    expected = [one_by_one(model, image, one.numpy(), steps, mode) for image, one in zip(images, heat, strict=True)]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=0)
    trapezia = np.trapezoid(np.array(expected), dx=1 / steps, axis=1)
    torch.testing.assert_close(area(found.double()), torch.from_numpy(trapezia), atol=1e-5, rtol=0)


def test_ranks_are_an_order_of_all_pixels():
    ranks = heat_ranks(torch.rand(2, 4, 4), 16)
    assert ranks.sort(1).values.tolist() == [list(range(256))] * 2
    flat = heat_ranks(torch.ones(1, 4, 4), 16)
    assert flat[0].tolist() == list(range(256)), "of equal pixels the first goes first"


def test_constant_probability_has_its_value_as_area():
    observed = observe([0, 1, 2, 3])
    level = torch.tensor([0.1, 0.2, 0.3, 0.4])
    columns = {**observed.columns, "deletion/heat": {"scores": level[:, None].expand(-1, 9)}}
    score = score_of(DELETION, replace(observed, columns=columns))
    assert score.per_image == pytest.approx(level.tolist(), abs=1e-7)
    assert score.value == pytest.approx(0.25, abs=1e-7)
