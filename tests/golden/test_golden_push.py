"""Projection onto training patches, with its boxes: ProtoPNet and ST-ProtoPNet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from golden_vectors import Vectors, close, st_protopnet
from torch import Tensor, nn

from protoexplain.models.base import PrototypeModel
from protoexplain.models.families.protopnet import ProtoPNetConfig
from protoexplain.models.families.protopnet.network import ProtoPNet
from protoexplain.regions.boxes import high_activation_boxes, upsample
from protoexplain.regions.receptive_field import ReceptiveField
from protoexplain.training import projection

pytestmark = pytest.mark.golden

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def normalised(images: Tensor) -> Tensor:
    return (images - MEAN[:, None, None]) / STD[:, None, None]


def batches(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    return zip(images.split(size), labels.split(size), torch.arange(len(labels)).split(size), strict=True)


def orphans(labels: Tensor, prototype_class: Tensor) -> Tensor:
    """[P]: prototypes of classes without an image."""
    return ~torch.isin(prototype_class, labels)


def check_boxes(v: Vectors, patches: projection.BestPatches, maps: Tensor, size: int, high: str, field: str) -> None:
    """Rows [image, y0, y1, x0, x1, class] of both kinds of boxes."""
    cells, jump, side, start = v["rf_info"].tolist()
    fields = ReceptiveField(int(cells), jump, side, start, size)
    marked = high_activation_boxes(upsample(maps, size, size))
    for j in patches.found.nonzero()[:, 0].tolist():
        around = fields.box(int(patches.row[j]), int(patches.column[j]))
        for box, key in ((marked[j], high), (around, field)):
            expected = v[key][j].tolist()
            assert [int(patches.image[j]), box.y0, box.y1, box.x0, box.x1] == expected[:5], (key, j)
            assert int(v.tensor("labels")[patches.image[j]]) == expected[5]


def check_choice(chosen: np.ndarray, patches: projection.BestPatches) -> None:
    where = torch.stack([patches.image, patches.row, patches.column], 1)
    assert where[patches.found].tolist() == chosen[patches.found.numpy()].tolist()
    assert (chosen[~patches.found.numpy()] == -1).all()


PROTOPNET_FILES = {"push": False, "push_any_class": True, "push_linear_2x2": False}
"""File -> whether images of any class qualify."""


def protopnet(v: Vectors, from_features: bool) -> PrototypeModel:
    """The model of a push file, either whole or without its network."""
    count, depth, *size = v["prototypes_before"].shape
    classes = v["prototype_class_identity"].shape[1]
    config = ProtoPNetConfig(
        prototypes_per_class=count // classes,
        prototype_channels=depth,
        prototype_size=tuple(size),
        activation=str(v["activation"]),
    )
    net = v.under("net/")
    layers: list[nn.Module] = []
    for name in ("c1", "c2"):
        outputs, inputs = net[f"{name}.weight"].shape[:2]
        layer = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        layer.weight.data, layer.bias.data = net.tensor(f"{name}.weight"), net.tensor(f"{name}.bias")
        layers += [layer, nn.ReLU()]
    model = ProtoPNet(config, classes, nn.Sequential(*layers), net["c2.weight"].shape[0])
    branch = model.branches["main"]
    branch.addon.load_state_dict({k.removeprefix("add_on."): net.tensor(k) for k in net if "add_on" in k})
    branch.prototypes.data = v.tensor("prototypes_before")
    assert model.ownership.labels.tolist() == v["prototype_class_identity"].argmax(1).tolist()
    if from_features:
        model.backbone = branch.addon = nn.Identity()
    return model.eval()


@pytest.mark.parametrize("from_features", [False, True], ids=["images", "features"])
@pytest.mark.parametrize("name", PROTOPNET_FILES)
def test_protopnet(golden, name, from_features):
    v = golden(f"protopnet_{name}")
    labels, any_class = v.tensor("labels"), PROTOPNET_FILES[name]
    inputs = v.tensor("feature_maps") if from_features else normalised(v.tensor("images"))
    model = protopnet(v, from_features)
    branch = model.branches["main"]
    with torch.no_grad():
        close(branch.addon(model.backbone(inputs)), v["feature_maps"], atol=1e-5)
        close(-branch.similarity_maps(model.backbone(inputs)), v["distances"], atol=5e-5)
    (patches,) = projection.search(model, batches(inputs, labels, int(v["batch_size"])), any_class)
    lost = orphans(labels, model.ownership.labels)
    assert (~patches.found).tolist() == (lost & (not any_class)).tolist()
    check_choice(v["chosen_image_row_col"], patches)
    close(-patches.similarity, v["min_distance_chosen"], atol=5e-5)

    activations = branch.activation(patches.maps)
    check_boxes(v, patches, activations, int(v["img_size"]), "high_activation_boxes", "receptive_field_boxes")
    offset = branch.prototypes[0].numel() if str(v["activation"]) == "linear" else 0
    clear = patches.found[:, None, None] & (patches.maps < -0.01)
    close((activations + offset)[clear], v.tensor("self_activation_maps")[clear], atol=1e-3)

    projection.replace_prototypes(model, [patches])
    written = branch.prototypes.detach()
    close(written[patches.found], v["prototypes_after"][patches.found], atol=0 if from_features else 1e-5)
    close(written[~patches.found], v["prototypes_before"][~patches.found], atol=0)


@pytest.mark.parametrize("variant", ["cropped", "full"])
def test_st_protopnet(golden, variant):
    v = golden(f"st_push_{variant}")
    labels = v.tensor("labels")
    model = st_protopnet(v, variant, {b: v.tensor(f"prototypes_{b}_before") for b in ("trivial", "support")})
    images = normalised(v.tensor("images_uint8").float() / 255)
    outputs, inputs, kernel = v["conv_w"].shape[:3]
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=int(v["conv_stride"]))
    convolution.weight.data, convolution.bias.data = v.tensor("conv_w"), v.tensor("conv_b")
    model.backbone = convolution
    found = projection.search(model.eval(), batches(images, labels, int(v["batch_size"])))
    for (name, branch), patches in zip(model.named_branches(), found, strict=True):
        lost = orphans(labels, model.ownership.labels[: len(branch.prototypes)])
        assert (~patches.found).tolist() == lost.tolist()
        check_choice(v[f"best_location_{name}"], patches)
        close(-patches.similarity, v[f"best_distance_{name}"], atol=1e-5)
        check_boxes(
            v,
            patches,
            patches.maps,
            images.shape[-1],
            f"bound_boxes_{name}",
            f"receptive_field_boxes_{name}",
        )
    projection.replace_prototypes(model, found)
    for (name, branch), patches in zip(model.named_branches(), found, strict=True):
        written, hit = branch.prototypes.detach().flatten(1), patches.found
        close(written[hit], v[f"prototypes_{name}_after"][hit], atol=1e-5)
        close(written[~hit], v[f"prototypes_{name}_before"][~hit], atol=0)
