"""Shared components start from kinds of parts."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import open_run, pictures, tiny_config
from torch import nn

from protoexplain.errors import UserError
from protoexplain.models.families.cbc import CBCConfig
from protoexplain.models.families.cbc.network import CBC
from protoexplain.models.parts import BACKGROUNDS, TEMPERATURE, PartClassifier
from protoexplain.training.component_start import SHARPNESS, components_of_parts, start_components, start_reasoning
from protoexplain.training.initial import start
from protoexplain.training.part_start import fit_teacher, parts_of_images
from protoexplain.training.stage_models import models_of

CHANNELS, PARTS, CLASSES = 5, 2, 3


class Identity(nn.Module):
    channels = CHANNELS

    def forward(self, images):
        return images


@pytest.fixture
def first():
    torch.manual_seed(0)
    model = PartClassifier(Identity(), CLASSES, PARTS).eval()
    norm = model.branches["parts"].addon[0]
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return model


def cbc(components):
    return CBC(CBCConfig(components=components), CLASSES, Identity(), CHANNELS).eval()


def test_channels_are_scaled_similarities_to_kinds_of_parts_and_of_background(first):
    """With as many kinds as images each image is a kind of its own."""
    shown, model = torch.randn(4, PARTS, 64), cbc(2 * 4 + BACKGROUNDS)
    shown[3, 0] = torch.nan
    start_components(model, first, shown, seed=0)
    features = torch.randn(2, CHANNELS, 3, 3)
    z = first.branches["parts"].addon(features)
    known = shown[shown.isfinite().all(2)]
    length = known.norm(dim=1).mean()
    found = model.branches["main"].addon(features) * TEMPERATURE * length
    vectors = torch.cat([shown[[0, 1, 2, 0], 0], shown[:, 1], first.background.flatten(1)])
    expected = torch.einsum("kd,bdhw->bkhw", F.normalize(vectors, dim=1), z)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_images_that_look_alike_are_one_kind(first):
    centres = F.normalize(torch.randn(4, 64), dim=1)
    shown = centres[torch.arange(40) % 4][:, None].repeat(1, PARTS, 1) + 0.001 * torch.randn(40, PARTS, 64)
    model = cbc(PARTS * 4 + BACKGROUNDS)
    start_components(model, first, shown, seed=0)
    at_centres = model.branches["main"].addon.weight[:4].flatten(1)
    assert torch.linalg.matrix_rank(at_centres, tol=1e-3) == 4


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(0, 40))
def test_parts_that_tell_no_class_get_one_component_each(tells, more):
    wanted = len(tells) + more
    counts = components_of_parts(wanted, np.array(tells))
    assert sum(counts) == wanted
    others = [count for count, tell in zip(counts, tells, strict=True) if tell or not any(tells)]
    assert max(others) - min(others) <= 1
    assert all(count == 1 for count, tell in zip(counts, tells, strict=True) if not tell and any(tells))


@torch.no_grad()
def test_classes_that_look_alike_share_a_kind(first):
    """With fewer kinds than classes the looks of the classes are grouped, whatever single images show."""
    branch = first.branches["parts"]
    looks = F.normalize(torch.randn(PARTS, 2, 64), dim=2)
    of_class = torch.stack([looks[:, 0], looks[:, 1], looks[:, 0]])
    branch.prototypes.copy_(of_class.flatten(0, 1)[..., None, None])
    model = cbc(PARTS * 2 + BACKGROUNDS)
    start_components(model, first, torch.randn(9, PARTS, 64), seed=0)
    features = torch.randn(2, CHANNELS, 3, 3)
    z = branch.addon(features)
    found = model.branches["main"].addon(features)[:, : PARTS * 2]
    expected = torch.einsum("pkd,bdhw->bpkhw", looks, z)
    for part in range(PARTS):
        kinds = found[:, 2 * part : 2 * part + 2]
        orders = (kinds, kinds.flip(1))
        scale = float(kinds.square().sum().sqrt() / expected[:, part].square().sum().sqrt())
        assert any(torch.allclose(kinds_, scale * expected[:, part], rtol=1e-3, atol=1e-3) for kinds_ in orders)


def test_too_few_components(first):
    with pytest.raises(UserError, match="fewer components than parts") as error:
        start_components(cbc(PARTS + BACKGROUNDS - 1), first, torch.randn(4, PARTS, 64), seed=0)
    assert error.value.where == "model.components"


@torch.no_grad()
def test_parts_of_images_are_means_of_the_cells_that_show_them(planted, tmp_path):
    changes = {"model": {"start": "parts"}, "training": {"fine_tuning": {"epochs": 1, "parts": 2}}}
    run = open_run(tiny_config("cbc", **changes), planted, tmp_path)
    first = models_of(run.config, run.model)[0].eval()
    with torch.enable_grad():
        fit_teacher(run, first.teacher)
    images, _ = pictures(run)
    z = first.branches["parts"].addon(first.backbone(images))
    teller = first.teacher.of_images(images)
    found = parts_of_images(run, first)
    for image in range(len(images)):
        for part in range(first.parts):
            cells = z[image][:, teller[image] == part]
            torch.testing.assert_close(found[image, part], cells.mean(1), rtol=1e-3, atol=1e-4, equal_nan=True)
    before = run.model.branches["main"].addon.weight.clone()
    start(run, first)
    assert not torch.equal(run.model.branches["main"].addon.weight, before)


@torch.no_grad()
def test_reasoning_starts_from_what_the_images_of_the_classes_show(planted, tmp_path):
    config = tiny_config("cbc", model={"start": "parts"}, training={"fine_tuning": {"epochs": 1, "parts": 2}})
    run = open_run(config, planted, tmp_path)
    images, labels = pictures(run)
    batches = [(images[part], labels[part], part) for part in torch.arange(len(images)).split(5)]
    head = run.model.branches["main"].head
    start_reasoning(run.model, batches)
    shown = run.model.activations(run.model.backbone(images))
    means = torch.stack([shown[labels == label].mean(0) for label in range(run.model.classes)], 1)
    more = means - means.mean(1, keepdim=True)
    positive, negative = head.reasoning()
    torch.testing.assert_close((positive / negative).log(), 2 * SHARPNESS * more, rtol=1e-3, atol=1e-4)
    assert torch.equal((positive - negative).argmax(0), more.argmax(0)), "a class wants most what it shows most"


def test_heads_without_reasoning_stay_as_they_are(planted, tmp_path):
    run = open_run(tiny_config("rbf_net"), planted, tmp_path)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    start_reasoning(run.model, [])
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
