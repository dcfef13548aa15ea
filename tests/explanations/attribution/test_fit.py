"""The error of a linear fit: against sums over single pictures; and the neighbourhoods, by their definitions."""

import itertools
import math
from collections import Counter

import pytest
import torch
from tiny_runs import tiny_config, tiny_model

from protoexplain.data.geometry import Geometry
from protoexplain.explanations.attribution.fit import NEIGHBOURHOODS, best_fit, fit_errors
from protoexplain.explanations.attribution.methods import KERNEL_WIDTH, PART_NOISE, exponential_kernel
from protoexplain.explanations.attribution.task import AttributionTask, Target
from protoexplain.explanations.forward_pass import run_forward


def picture_of(side):
    """Smooth noise [3,S,S]."""
    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, side, mode="bilinear")[0]


@pytest.fixture(scope="module")
def task():
    model = tiny_model(tiny_config("st_protopnet"))
    picture = picture_of(64)
    forward_pass = run_forward(model, picture, Geometry.of((64, 64), None, 64), "ABCD")
    return AttributionTask(forward_pass, Target("class", 1), lambda: None, segments=9, batch=7)


def drawn(task, name, count, seed=0):
    batches = list(NEIGHBOURHOODS[name].draw(task, count, torch.Generator().manual_seed(seed)))
    return torch.cat([pictures for pictures, _ in batches]), torch.cat([weights for _, weights in batches])


def presences(task, pictures):
    """How much of each superpixel is there, [n,M]; by least squares over its pixels."""
    shifted = (pictures - task.baseline) * task.difference
    energy = task.by_part(task.difference[0].square())
    return torch.stack([task.by_part(one) / energy for one in shifted])


@pytest.mark.parametrize("name", NEIGHBOURHOODS)
def test_against_a_naive_sum(task, name):
    generator = torch.Generator().manual_seed(3)
    fits = {f"w{i}": 0.01 * torch.randn(3, 64, 64, generator=generator) for i in range(2)}
    found = fit_errors(task, fits, NEIGHBOURHOODS[name], 20)
    pictures, weights = drawn(task, name, 20, seed=task.seed + 1)
    for key, slope in fits.items():
        truth, rest = [], []
        for picture in pictures:
            with torch.no_grad():
                score = float(task.score(picture[None]))
            truth.append(score)
            rest.append(score - float((slope.double() * (picture - task.picture[0]).double()).sum()))
        expected = variance(rest, weights.tolist()) / variance(truth, weights.tolist())
        assert found[key] == pytest.approx(expected, rel=1e-3)


def variance(values, weights):
    mean = sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
    return sum(w * (v - mean) ** 2 for v, w in zip(values, weights, strict=True)) / sum(weights)


def test_zero_weights_explain_nothing(task):
    assert fit_errors(task, {"zero": torch.zeros(3, 64, 64)}, NEIGHBOURHOODS["mask"], 15)["zero"] == pytest.approx(1)


def test_pixel_noise(task):
    pictures, weights = drawn(task, "gaussian", 60)
    noise = pictures - task.picture
    assert float(noise.mean()) == pytest.approx(0, abs=1e-3)
    assert float(noise.std()) == pytest.approx(task.noise, rel=0.01)
    assert (weights == 1).all()


def test_part_noise(task):
    pictures, _ = drawn(task, "c-lime", 400)
    there = presences(task, pictures)
    assert float(there.mean()) == pytest.approx(1, abs=0.03)
    assert float(there.std()) == pytest.approx(PART_NOISE, rel=0.05)


@pytest.mark.parametrize("name", ["mask", "exponential"])
def test_masks(task, name):
    pictures, weights = drawn(task, name, 400)
    there = presences(task, pictures).round(decimals=4)
    assert set(there.flatten().tolist()) == {0, 1}
    assert float(there.mean()) == pytest.approx(0.5, abs=0.05)
    if name == "mask":
        assert (weights == 1).all()
    else:
        kept = there.mean(1).sqrt()
        torch.testing.assert_close(weights, torch.exp(-((1 - kept) ** 2) / KERNEL_WIDTH**2), rtol=1e-3, atol=1e-5)


def test_exponential_kernel_on_paper():
    """A quarter kept: cosine 1 / 2, distance 1 / 2."""
    masks = torch.tensor([[1.0, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
    expected = [1.0, math.exp(-0.25 / KERNEL_WIDTH**2), math.exp(-1 / KERNEL_WIDTH**2)]
    assert exponential_kernel(masks).tolist() == pytest.approx(expected)


def test_shapley_sizes(task):
    pictures, _ = drawn(task, "shapley", 4000)
    sizes = Counter(presences(task, pictures).sum(1).round().int().tolist())
    parts = task.parts
    likely = {s: 1 / (s * (parts - s)) for s in range(1, parts)}
    assert set(sizes) <= set(likely)
    for size, share in likely.items():
        expected = 4000 * share / sum(likely.values())
        assert abs(sizes[size] - expected) < 5 * math.sqrt(expected)


def test_one_out(task):
    there = presences(task, drawn(task, "one-out", 3)[0])
    torch.testing.assert_close(there, 1 - torch.eye(task.parts), rtol=1e-4, atol=1e-4)


def test_fading(task):
    there = presences(task, drawn(task, "fading", 4)[0])
    expected = torch.tensor([0.125, 0.375, 0.625, 0.875])[:, None].expand_as(there)
    torch.testing.assert_close(there, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("errors", "best"),
    [
        ({"a": 0.5, "b": 0.2, "c": None}, "b"),
        ({"a": 0.3, "b": 0.3}, "a"),
        ({"a": 1.2, "b": 0.96}, None),
        ({"a": None}, None),
        ({}, None),
    ],
)
def test_recommendation(errors, best):
    assert best_fit(errors) == best


def test_names_of_methods_and_questions_are_different():
    questions = [neighbourhood.question for neighbourhood in NEIGHBOURHOODS.values()]
    assert all(one != two for one, two in itertools.combinations(questions, 2))
    assert all(text.endswith("?") for text in questions)
