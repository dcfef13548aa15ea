"""The misalignment benchmark (Sacha et al. 2024): boxes, the attack as meant and as published, and its scores."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from golden_vectors import Vectors, close
from torch import Tensor, nn

from protoexplain.metrics.observe.attack import (
    Misaligned,
    activation_maps,
    attacked_prototypes,
    displaced,
    outside_boxes,
    peak_activations,
)
from protoexplain.metrics.settings import AttackSettings
from protoexplain.metrics.stats.misalignment import activation_change, displacement, rank_change
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.contract import Ownership
from protoexplain.models.heads import LinearHead
from protoexplain.models.similarity import LogActivation, NegativeSquaredL2
from protoexplain.regions.box_rules import PUBLISHED, boxes_of

pytestmark = pytest.mark.golden
MODES = ("top_proto", "gt_protos")


def attacked_in(v: Vectors, mode: str, peaks: Tensor) -> Tensor:
    own = v.tensor("prototype_class") == v.tensor("labels")[:, None]
    return attacked_prototypes(peaks, own if mode == "gt_protos" else None)


@pytest.mark.parametrize("mode", MODES)
def test_scores(golden, mode):
    v = golden("misalignment_scores")
    before, after = v.tensor("maps_before"), v.tensor("maps_after")
    peaks, changed = before.amax((2, 3)), after.amax((2, 3))
    target = peaks.masked_fill(~attacked_in(v, mode, peaks), -1).argmax(1)
    assert torch.equal(target, v.tensor(f"{mode}_target"))
    rows = torch.arange(len(target))
    found = {
        "pac": activation_change(peaks[rows, target], changed[rows, target]),
        "prc": rank_change(peaks, changed, target, v.tensor("prototype_class") != v.tensor("labels")[:, None]),
        "plc": displacement(before[rows, target], after[rows, target], int(v["image_size"])),
    }
    for name, tolerance in (("pac", 1e-6), ("prc", 0), ("plc", 1e-4)):
        close(found[name], v[f"{mode}_{name}_per_image"], atol=tolerance)
        assert float(found[name].mean()) == pytest.approx(v.number(f"{mode}_{name}"), abs=max(tolerance, 1e-9))
    right = [
        (v.tensor(f"logits_{when}").argmax(1) == v.tensor("labels")).double().mean() for when in ("before", "after")
    ]
    assert 100 * float(right[0] - right[1]) == pytest.approx(v.number("ac"))


class Backbone(nn.Module):
    """tanh(conv), then sigmoid of another conv plus what the whole picture gives."""

    def __init__(self, v: Vectors) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        self.v = {key: v.tensor(key) for key in ("conv1_w", "conv1_b", "conv2_w", "conv2_b", "global_w")}

    def forward(self, images: Tensor) -> Tensor:
        x, v = (images - self.mean) / self.std, self.v
        z = F.conv2d(x, v["conv1_w"], v["conv1_b"], stride=4, padding=2).tanh()
        whole = z.mean((2, 3)) @ v["global_w"].T
        return (F.conv2d(z, v["conv2_w"], v["conv2_b"], stride=2, padding=1) + whole[:, :, None, None]).sigmoid()


@pytest.fixture(scope="module")
def v(golden) -> Vectors:
    return golden("misalignment_pgd")


@pytest.fixture(scope="module")
def model(v) -> PrototypeModel:
    ownership = Ownership.of_labels(v.tensor("prototype_class"), 3)
    head = LinearHead(ownership)
    head.weight.data = v.tensor("last_layer")
    prototypes = v.tensor("prototypes")[:, :, None, None]
    branch = Branch(nn.Identity(), prototypes, NegativeSquaredL2(), head, LogActivation(1e-4))
    return PrototypeModel(Backbone(v), {"main": branch}, ownership).eval()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["pgd", "uniform"])
@torch.no_grad()
def test_attack(v, model, mode, kind):
    images = v.tensor("images_uint8").permute(0, 3, 1, 2).float() / 255
    size, peaks = images.shape[2], peak_activations(model, images)
    clean = activation_maps(model, model.backbone(images))
    close(torch.stack([torch.stack(maps) for maps in clean]), v["maps_before"], atol=1e-5)
    attacked = attacked_in(v, mode, peaks)
    margin = int(v["widen"])
    boxes = [
        boxes_of(PUBLISHED, [maps[j] for j in chosen.nonzero()[:, 0].tolist()], size)
        for maps, chosen in zip(clean, attacked, strict=True)
    ]
    free = torch.stack([outside_boxes(one, margin, size, published=True) for one in boxes])
    assert torch.equal(free, v.tensor(f"{mode}_mask") == 1)
    mended = torch.stack([outside_boxes(one, margin, size) for one in boxes])
    assert not bool((mended & ~free).any())
    assert bool((free & ~mended).any()), "the last row and column of a box are not free"

    found = Misaligned(AttackSettings(kind=kind), "published", 0)
    changed = found.changed(model, images, attacked, free, v.tensor("start"))
    result = v.under(f"{mode}_{'intended' if kind == 'pgd' else 'published'}_")
    objective = (peak_activations(model, changed) * attacked).sum(1) / attacked.sum(1)
    close(objective, result["objective"][:, -1], atol=1e-4)
    if "perturbation" in result:
        change = (changed - images) / model.backbone.std
        agree = (change - result.tensor("perturbation")).abs() < 1e-4
        assert float(agree.float().mean()) > 0.99
    target = peaks.masked_fill(~attacked, -1).argmax(1)
    after, rows = peak_activations(model, changed), torch.arange(len(images))
    close(activation_change(peaks[rows, target], after[rows, target]), result["pac"], atol=1e-3)
    foreign = v.tensor("prototype_class") != v.tensor("labels")[:, None]
    close(rank_change(peaks, after, target, foreign), result["prc"], atol=0)
    close(displaced(clean, activation_maps(model, model.backbone(changed)), target, size), result["plc"], atol=0.2)
    labels = v.tensor("labels")
    right = [(model(one).logits.argmax(1) == labels).double().mean() for one in (images, changed)]
    assert 100 * float(right[0] - right[1]) == pytest.approx(
        v.number(f"{mode}_{'intended' if kind == 'pgd' else 'published'}_ac")
    )
