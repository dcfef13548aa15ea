"""Attributions: exact for linear models, repeatable, and without a trace on the shared model."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_runs import tiny_config, tiny_model
from torch import nn
from toy_models import NAMES, ToyModel

from protoexplain.data.geometry import Geometry
from protoexplain.errors import UserError
from protoexplain.explanations.attribution.attribute import attribute
from protoexplain.explanations.attribution.fit import NEIGHBOURHOODS
from protoexplain.explanations.attribution.linear_model import LeastSquares
from protoexplain.explanations.attribution.methods import METHODS
from protoexplain.explanations.attribution.task import AttributionTask, Score, Target
from protoexplain.explanations.forward_pass import run_forward
from protoexplain.models.contract import Ownership
from protoexplain.models.heads import LinearHead
from protoexplain.models.registry import family_names
from protoexplain.regions.measured_field import measure_fields

SIDE = 16
FITS = [name for name in METHODS if name not in ("grad-cam", "map", "receptive-field")]
GRADIENTS = ("saliency", "input-x-gradient", "smoothgrad", "integrated-gradients")
QUICK = {"segments": 8, "samples": 40, "noisy": 6, "steps": 8, "batch": 16}


def picture_of(side, seed=0):
    """Smooth noise [3,S,S]."""
    coarse = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, side, mode="bilinear")[0]


class LinearModel(ToyModel):
    """Class scores that are linear in the pixels: a convolution as large as the picture, and a linear head."""

    def __init__(self):
        head = LinearHead(Ownership.of_labels(torch.arange(3), 3))
        super().__init__(head, (0, 1, 2))
        torch.manual_seed(0)
        self.backbone = nn.Conv2d(3, 3, SIDE)

    def slope(self, label):
        """[3,S,S]."""
        with torch.no_grad():
            return torch.einsum("p,pchw->chw", self.class_weights()[label], self.backbone.weight)


def task_about(model, target, side=SIDE, names=NAMES, **options):
    forward_pass = run_forward(model, picture_of(side), Geometry.of((side, side), None, side), names)
    return AttributionTask(forward_pass, target, lambda: measure_fields(model, side), **{**QUICK, **options})


@pytest.fixture(scope="module")
def linear():
    """Everything that can be asked of a linear model, with the question and the true slope."""
    model = LinearModel()
    task = task_about(model, Target("class", 1))
    return task, model.slope(1), attribute(task, neighbourhoods=list(NEIGHBOURHOODS))


class TestLinearModel:
    @pytest.mark.parametrize("method", GRADIENTS)
    def test_gradients_are_the_slope(self, linear, method):
        _, slope, found = linear
        torch.testing.assert_close(found.maps[method].weights, slope, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("method", [name for name in FITS if name not in GRADIENTS])
    def test_superpixels_get_what_they_add(self, linear, method):
        task, slope, found = linear
        effects = task.by_part(slope * task.difference[0])
        heat = torch.from_numpy(found.maps[method].heat)
        for part in range(task.parts):
            inside = heat[task.superpixels == part]
            torch.testing.assert_close(inside, effects[part].expand_as(inside), rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("method", ["input-x-gradient", "integrated-gradients"])
    def test_pixels_get_what_they_add(self, linear, method):
        task, slope, found = linear
        expected = (slope * task.difference[0]).sum(0)
        np.testing.assert_allclose(found.maps[method].heat, expected.numpy(), rtol=1e-3, atol=1e-5)

    @pytest.mark.parametrize("method", FITS)
    def test_effects_add_up_to_the_difference_from_the_baseline(self, linear, method):
        task, _, found = linear
        with torch.no_grad():
            difference = task.score(task.picture) - task.score(task.baseline)
        added = (found.maps[method].weights * task.difference[0]).sum()
        assert float(added) == pytest.approx(float(difference), rel=1e-3, abs=1e-4)

    @pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
    def test_every_fit_is_perfect(self, linear, neighbourhood):
        """Only single pixels are more than superpixels can tell of."""
        _, _, found = linear
        errors = found.errors[neighbourhood]
        assert list(errors) == FITS
        for method, error in errors.items():
            if neighbourhood == "gaussian" and method not in GRADIENTS:
                assert 0.01 < error < 1.5
            else:
                assert error < 1e-5, method

    def test_saliency_is_the_size_of_the_slope(self, linear):
        _, slope, found = linear
        np.testing.assert_allclose(found.maps["saliency"].heat, slope.abs().amax(0).numpy(), rtol=1e-3, atol=1e-5)
        assert not found.maps["saliency"].signed


@pytest.fixture(params=family_names(), scope="module")
def family(request):
    return request.param


@pytest.fixture(scope="module")
def model(family):
    return tiny_model(tiny_config(family))


@pytest.mark.parametrize("target", [Target("class", 2), Target("prototype", 5)], ids=lambda target: target.kind)
class TestEveryFamily:
    def test_all_methods(self, model, target):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 0.5)
        task = task_about(model, target, 64, "ABCD")
        random_state = torch.get_rng_state()
        found = attribute(task, neighbourhoods=["mask", "one-out"], fit_samples=20)
        assert torch.equal(torch.get_rng_state(), random_state)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert all(bool((parameter.grad == 0.5).all()) for parameter in model.parameters())
        assert hooks(model) == 0
        expected = set(METHODS) - ({"receptive-field"} if target.kind == "class" else set())
        assert set(found.maps) == expected
        for attribution in found.maps.values():
            assert attribution.heat.shape == (64, 64)
            assert attribution.heat.dtype == np.float32
            assert np.isfinite(attribution.heat).all()
            assert attribution.signed or attribution.heat.min() >= 0 or target.kind == "prototype"
        assert {name for name, attribution in found.maps.items() if attribution.weights is not None} == set(FITS)
        assert found.errors["one-out"]["occlusion"] < 1e-6, "it tells exactly what one missing part does"
        with torch.no_grad():
            activations = model.activations(model.backbone(task.picture))[0]
            logits = model(task.picture).logits[0]
        value = logits[2] if target.kind == "class" else activations[5]
        assert found.value == pytest.approx(float(value), abs=1e-5)


def test_batches_do_not_matter_and_seeds_repeat(model):
    methods = ["smoothgrad", "integrated-gradients", "occlusion", "lime", "c-lime", "kernel-shap"]
    target = Target("class", 2)
    one, two = (
        attribute(task_about(model, target, 64, "ABCD", batch=batch), methods, ["shapley"], 20) for batch in (3, 16)
    )
    for name in methods[1:]:  # captum draws the noise of SmoothGrad by batch
        scale = np.abs(one.maps[name].heat).max()
        np.testing.assert_allclose(one.maps[name].heat, two.maps[name].heat, rtol=1e-2, atol=1e-3 * scale)
    again = attribute(task_about(model, target, 64, "ABCD", batch=16), methods, ["shapley"], 20)
    assert all((again.maps[name].heat == two.maps[name].heat).all() for name in methods)
    assert again.errors == two.errors
    other = attribute(task_about(model, target, 64, "ABCD", seed=1), ["lime"], ["shapley"], 20)
    assert (other.maps["lime"].heat != two.maps["lime"].heat).any()


def hooks(module):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, kind)) for part in module.modules() for kind in kinds)


def test_hooks_go_with_an_exception(monkeypatch):
    model = tiny_model(tiny_config("protopnet"))
    task = task_about(model, Target("class", 0), 64, "ABCD")
    score = Score(model, task.target)
    monkeypatch.setattr(AttributionTask, "score", score)
    seen = []

    def fail(features):
        seen.append(hooks(score))
        raise RuntimeError("in the middle")

    monkeypatch.setattr(model, "from_features", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        attribute(task, ["grad-cam"])
    assert seen == [1], "there was a hook while the model ran"
    assert hooks(score) == hooks(model) == 0


def test_hooks_never_touch_the_shared_model(monkeypatch):
    model = tiny_model(tiny_config("protopnet"))
    task, seen = task_about(model, Target("class", 0), 64, "ABCD"), []
    whole = model.from_features
    monkeypatch.setattr(model, "from_features", lambda features: (seen.append(hooks(model)), whole(features))[1])
    attribute(task, neighbourhoods=["mask"], fit_samples=4)
    assert len(seen) > 10
    assert set(seen) == {0}


def test_spread_weights_have_the_effects_and_are_the_least():
    task = task_about(LinearModel(), Target("class", 0))
    effects = torch.randn(task.parts, generator=torch.Generator().manual_seed(1))
    weights = task.spread(effects)
    torch.testing.assert_close(task.by_part(weights * task.difference[0]), effects, rtol=1e-4, atol=1e-5)
    other = weights + 0.01 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(2))
    change = task.by_part((other - weights) * task.difference[0])
    other = other - task.spread(change)
    torch.testing.assert_close(task.by_part(other * task.difference[0]), effects, rtol=1e-3, atol=1e-4)
    assert other.norm() > weights.norm()


@pytest.mark.parametrize("segments", [9, 40])
def test_noise_is_cut_into_squares(segments):
    """SLIC finds no regions in it."""
    picture = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    plain = task_about(LinearModel(), Target("class", 0))
    big = replace(plain, forward_pass=replace(plain.forward_pass, picture=picture), segments=segments)
    assert big.parts == round(segments**0.5) ** 2
    sizes = big.superpixels.flatten().bincount()
    assert sizes.min() > 0.5 * sizes.max()


def test_plain_picture_has_nothing_to_tell():
    """No part differs from the mean colour, so none can be missing."""
    model = tiny_model(tiny_config("cbc"))
    forward_pass = run_forward(model, torch.full((3, 64, 64), 0.5), Geometry.of((64, 64), None, 64), "ABCD")
    task = AttributionTask(forward_pass, Target("class", 0), lambda: measure_fields(model, 64), **QUICK)
    found = attribute(task, neighbourhoods=["mask", "one-out", "fading"], fit_samples=10)
    assert float(np.abs(found.maps["occlusion"].heat).max()) < 1e-6
    assert set(found.errors["mask"].values()) == {None}
    assert found.recommended == {"mask": None, "one-out": None, "fading": None}


def test_least_squares_is_the_weighted_solution():
    generator = torch.Generator().manual_seed(0)
    z, y, w = (torch.rand(*shape, generator=generator) for shape in ((30, 4), (30,), (30,)))
    model = LeastSquares()
    model.fit([(z, y, w)])
    columns = torch.cat([z, torch.ones(30, 1)], 1).double()
    normal = columns.T @ (w.double()[:, None] * columns)
    expected = torch.linalg.solve(normal, columns.T @ (w.double() * y.double()))
    torch.testing.assert_close(model.representation()[0], expected[:4])
    torch.testing.assert_close(model(z), columns @ expected)


@pytest.mark.parametrize(
    ("target", "methods", "neighbourhoods", "words"),
    [
        (Target("class", 0), ["salience"], ["mask"], "did you mean 'saliency'"),
        (Target("class", 0), ["receptive-field"], ["mask"], "Receptive field says nothing of a class"),
        (Target("class", 0), ["lime"], ["masks"], "did you mean 'mask'"),
        (Target("class", 3), ["lime"], ["mask"], "no class number 3"),
        (Target("prototype", -1), ["lime"], ["mask"], "from 0 to 2"),
    ],
)
def test_bad_names_and_numbers(target, methods, neighbourhoods, words):
    with pytest.raises(UserError) as caught:
        attribute(task_about(LinearModel(), target), methods, neighbourhoods)
    assert words in str(caught.value)


def test_progress_counts_methods_and_neighbourhoods():
    told = []
    attribute(
        task_about(LinearModel(), Target("class", 0)),
        ["saliency", "lime"],
        ["mask", "fading"],
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_receptive_field_of_a_prototype():
    model = tiny_model(
        tiny_config("protopnet", model={"backbone": {"name": "test_resnet", "stride": 8, "weights": "none"}})
    )
    task = task_about(model, Target("prototype", 3), 64, "ABCD")
    heat = attribute(task, ["receptive-field"], []).maps["receptive-field"].heat
    cells = task.forward_pass.maps[3]
    box = measure_fields(model, 64)[tuple(cells.shape)].box(*divmod(int(cells.argmax()), cells.shape[1]))
    assert heat.sum() == box.area < 64 * 64
    assert math.isclose(heat[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)].mean(), 1)
