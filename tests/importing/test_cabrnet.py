"""Folders as CaBRNet writes them: their description says what their tensors are."""

from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
import yaml
from fuzzing import changed, changes, fuzz, many, replaced
from hypothesis import given
from hypothesis import strategies as st
from official import CLASSES, SIZE, PPNet, PrototypeChooser, maps_of_resnet, randomised, resnet18
from test_import import agrees, refused

from protoexplain.errors import UserError
from protoexplain.importing.foreign import CABRNET_ARCHITECTURE, CABRNET_STATE, read_foreign
from protoexplain.importing.model import imported_model
from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.backbones import Backbone

TINY = ["model.backbone.name=test_efficientnet", "model.backbone.stride=16"]
SIZED = [f"data.image_size={SIZE}"]
ADD_ONS = {
    "ProtoPNet": {"conv1": "Conv2d", "relu1": "ReLU", "conv2": "Conv2d", "sigmoid1": "Sigmoid"},
    "ProtoPool": {"conv1": "Conv2d", "sigmoid1": "Sigmoid"},
    "PIPNet": {},
}


class CaBRNetPIPNet(torch.nn.Module):
    """Without a threshold for detections."""

    def __init__(self):
        super().__init__()
        self.features = resnet18()
        self.last_layer = torch.nn.Linear(128, CLASSES, bias=False)

    def forward(self, x):
        found = maps_of_resnet(self.features, x).softmax(1).amax((2, 3))
        return F.linear(found, self.last_layer.weight.relu())


def official(kind):
    model = randomised({"ProtoPNet": PPNet, "ProtoPool": PrototypeChooser, "PIPNet": CaBRNetPIPNet}[kind]())
    if kind == "ProtoPNet":
        model.own_layer()
    return model


def write(folder, kind, model, **changes):
    """A model of official names as CaBRNet names it, with its description."""
    state, add_on = model.state_dict(), ADD_ONS[kind]
    named = {f"extractor.convnet.{n.removeprefix('features.')}": t for n, t in state.items() if "features" in n}
    for place, name in enumerate(add_on):
        if add_on[name] == "Conv2d":
            named |= {
                f"extractor.add_on.{name}.{end}": state[f"add_on_layers.{place}.{end}"] for end in ("weight", "bias")
            }
    named |= {
        "classifier.prototypes": state.get("prototype_vectors", torch.empty(0)),
        "classifier.last_layer.weight": state["last_layer.weight"],
        **{
            "ProtoPNet": {"classifier.proto_class_map": torch.eye(CLASSES).repeat_interleave(3, 0)},
            "ProtoPool": {
                "classifier.proto_slot_map": state.get("proto_presence"),
                "classifier.slot_class_map": torch.eye(CLASSES).repeat_interleave(3, 0),
            },
            "PIPNet": {"classifier.normalization_multiplier": torch.ones(1)},
        }[kind],
    }
    folder.mkdir()
    torch.save(named, folder / "model_state.pth")
    architecture = {
        "extractor": {
            "backbone": {"arch": "resnet18", "layer": "layer2", "weights": "None"},
            "add_on": {"init_mode": "XAVIER", **{name: {"type": layer} for name, layer in add_on.items()}},
        },
        "similarity": {"name": "ProtoPNetSimilarity"},
        "classifier": {"name": f"{kind}Classifier", "params": {"num_classes": CLASSES}},
        **changes,
    }
    (folder / "model_arch.yml").write_text(yaml.safe_dump(architecture, sort_keys=False))
    return folder


@pytest.mark.parametrize("kind", ADD_ONS)
def test_scores_are_those_of_the_folder(tmp_path, kind):
    model = official(kind)
    found = imported_model(read_foreign(write(tmp_path / "model", kind, model)), None, CLASSES, SIZED)
    assert found.config.family == kind.lower()
    agrees(found, model)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classifier": {"name": "ProtoTreeClassifier"}}, "ProtoTreeClassifier"),
        ({"similarity": {"name": "CosineSimilarity"}}, "CosineSimilarity"),
        ({"similarity": {"params": {"stability_factor": "small"}}}, "stability_factor"),
        ({"extractor": {"backbone": {"arch": "resnet18"}, "add_on": {}}}, "the add-on is empty"),
        ({"extractor": None}, "the add-on is empty"),
        ({"classifier": None}, "has no family here"),
    ],
)
def test_other_folders_are_refused(tmp_path, changes, said):
    folder = write(tmp_path / "model", "ProtoPNet", official("ProtoPNet"), **changes)
    assert said in refused(lambda: imported_model(read_foreign(folder)))


def test_networks_that_end_elsewhere_are_refused(tmp_path):
    backbone = {"arch": "densenet121", "layer": "features.denseblock4"}
    layers = {name: {"type": kind} for name, kind in ADD_ONS["ProtoPNet"].items()}
    changes = {"extractor": {"backbone": backbone, "add_on": layers}}
    folder = write(tmp_path / "model", "ProtoPNet", official("ProtoPNet"), **changes)
    assert "densenet121" in refused(lambda: imported_model(read_foreign(folder)))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """For each kind a folder of few tensors, whose network is another than its description says."""
    net = Backbone(BackboneConfig(name="test_efficientnet", weights="none"), load_weights=False)
    own = {f"extractor.convnet.{name.removeprefix('net.')}": tensor for name, tensor in net.state_dict().items()}
    above = tmp_path_factory.mktemp("cabrnet")
    for kind in ADD_ONS:
        folder = write(above / kind, kind, official(kind))
        tensors = torch.load(folder / CABRNET_STATE, weights_only=True)
        kept = {name: tensor for name, tensor in tensors.items() if "convnet" not in name}
        if kind == "PIPNet":
            kept["classifier.last_layer.weight"] = torch.rand(CLASSES, net.channels)
        for place in [name for name in kept if name.endswith("conv1.weight")]:
            kept[place] = torch.rand(len(kept[place]), net.channels, 1, 1)
        torch.save(own | kept, folder / CABRNET_STATE)
        assert imported_model(read_foreign(folder), None, None, TINY).model.classes == CLASSES
    return above


STRIDES = {"stride_divider": {"ratio": 2, "min_channels": 100}}


@fuzz
@many
@given(data=st.data())
def test_mutated_folders_give_a_model_or_an_error_that_is_documented(small, data):
    folder = small / data.draw(st.sampled_from(sorted(ADD_ONS)))
    path = folder / CABRNET_ARCHITECTURE
    good = path.read_text()
    architecture = yaml.safe_load(good)
    if data.draw(st.booleans()):
        backbone = {"arch": "convnext_tiny", "postprocess": STRIDES}
        architecture |= {"similarity": {"name": "ProtoPNetSimilarity", "params": {"stability_factor": 1e-4}}}
        architecture["extractor"]["backbone"] = backbone
    try:
        if data.draw(st.booleans()):
            path.write_text(yaml.safe_dump(data.draw(replaced(architecture)), sort_keys=False))
        else:
            path.write_bytes(changed(yaml.safe_dump(architecture, sort_keys=False).encode(), data.draw(changes())))
        with suppress(UserError):
            imported_model(read_foreign(folder), None, None, TINY)
    finally:
        path.write_text(good)
