"""Explaining prototypes by image modifications (Nauta et al. 2020)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_vectors import Vectors, close
from test_golden_protopnet import branch_of, model_with
from torch import Tensor, nn

from protoexplain.explanations.characteristics.global_scores import weighted_mean
from protoexplain.explanations.characteristics.local_scores import from_features, local_scores
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.models.families.protopnet.network import ProtoPNet

pytestmark = pytest.mark.golden

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def test_modifications(golden):
    """To the pixel."""
    v = golden("nauta_modifications")
    assert list(MODIFICATIONS) == v["modification_order"].tolist()
    published = [MODIFICATIONS[name].strength for name in ("contrast", "saturation", "hue", "shape")]
    published += [0.05, MODIFICATIONS["texture"].strength, MODIFICATIONS["brightness"].strength]
    assert published == v["parameters_contrast_saturation_hue_A_w_texture_brightness"].tolist()
    assert len(v.groups()) >= 3
    for image in v.groups():
        for name, modification in MODIFICATIONS.items():
            assert np.array_equal(modification(v[f"{image}/input"]), v[f"{image}/{name}"]), (image, name)


def test_shape_wave(golden):
    """Each number tells where it came from, over a picture taller than many periods."""
    v = golden("nauta_modifications")
    probe = v["shape_probe_input"]
    assert np.array_equal(MODIFICATIONS["shape"](probe[..., None])[..., 0], v["shape_probe_output"])


@pytest.mark.parametrize(("name", "tolerance"), [("nauta_scores", 1e-3), ("nauta_scores_linear", 1e-5)])
def test_scores(golden, name, tolerance):
    v = golden(name)
    count = len(v["prototypes"])
    identity = torch.eye(len(v["last_layer_weight"])).repeat_interleave(count // len(v["last_layer_weight"]), 0)
    model = model_with(
        v.tensor("prototypes"),
        identity,
        v.tensor("last_layer_weight"),
        activation=str(v["activation"]),
        epsilon=v.number("epsilon"),
    ).eval()
    features = torch.cat([v.tensor("features_original")[:, None], v.tensor("features_modified")], 1)
    with torch.no_grad():
        activations, cells = from_features(model, features.flatten(0, 1), features.shape[1])
    assert torch.equal(cells, v.tensor("nearest_patch_flat_index"))
    scores = activations[:, :1] - activations[:, 1:]
    close(activations[:, 0], v["similarity_original"], atol=tolerance)
    close(activations[:, 1:], v["similarity_modified_at_index"], atol=tolerance)
    close(scores, v["local_scores"], atol=tolerance)
    close(weighted_mean(scores, activations[:, 0]), v["global_scores"], atol=tolerance)
    close(weighted_mean(v.tensor("local_scores"), v.tensor("similarity_original")), v["global_scores"], atol=tolerance)
    logits = model.from_activations(activations.flatten(0, 1)).logits.unflatten(0, activations.shape[:2])
    close(logits[:, 1:], v["logits_modified_at_index"], atol=tolerance * count)


def test_weighted_mean(golden):
    v = golden("nauta_weighted_mean")
    found = weighted_mean(v.tensor("local_scores"), v.tensor("similarity_original"))
    close(found, v["global_scores"], atol=1e-12)


class Normalised(nn.Sequential):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images - MEAN[:, None, None]) / STD[:, None, None])


def network(v: Vectors) -> ProtoPNet:
    """The model of the file; which classes its prototypes belong to does not matter here."""
    net, prototypes = v.under("net/"), v.tensor("prototypes")
    model = model_with(prototypes, torch.eye(len(prototypes)))
    layers: list[nn.Module] = []
    for name in ("c1", "c2"):
        weight = net.tensor(f"{name}.weight")
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, stride=2, padding=1)
        layer.load_state_dict({"weight": weight, "bias": net.tensor(f"{name}.bias")})
        layers += [layer, nn.ReLU()]
    addon: list[nn.Module] = []
    for index, last in ((0, nn.ReLU()), (2, nn.Sigmoid())):
        weight = net.tensor(f"add_on.{index}.weight")
        layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
        layer.load_state_dict({"weight": weight, "bias": net.tensor(f"add_on.{index}.bias")})
        addon += [layer, last]
    model.backbone, branch_of(model).addon = Normalised(*layers), nn.Sequential(*addon)
    return model.eval()


def test_end_to_end(golden):
    """From pictures: changed at native size, resized by PIL, then compared."""
    v = golden("nauta_end_to_end")
    model, size = network(v), int(v["img_size"])
    found = [local_scores(model, v[f"{image}/input"], size) for image in v.groups() if image.startswith("img")]
    scores, activations = (torch.stack([getattr(one, name) for one in found]) for name in ("scores", "activations"))
    assert list(found[0].names) == v["modification_order"].tolist()
    close(scores, v["local_scores"], atol=1e-4)
    close(activations, v["similarity_original"], atol=1e-4)
    close(weighted_mean(scores, activations), v["global_scores"], atol=1e-4)
