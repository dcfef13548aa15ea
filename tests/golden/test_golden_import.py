"""Numbers of official code under the names of its tensors: the imported model gives its scores."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from golden_vectors import Vectors, close
from torch import Tensor, nn

from protoexplain.config import parse
from protoexplain.importing.foreign import ForeignModel
from protoexplain.importing.model import filled
from protoexplain.importing.registry import code_of
from protoexplain.models.base import PrototypeModel

pytestmark = pytest.mark.golden


def imported(tensors: Mapping[str, Tensor], channels: int, name: str | None = None, **settings: str) -> PrototypeModel:
    """On ready features, as the official numbers are."""
    backbone = nn.Identity()
    backbone.channels = channels
    foreign = ForeignModel(tensors, settings, {}, "golden")
    found = code_of(foreign, name).convert(foreign, 5)
    config = parse({"family": found.family, "model": dict(found.model)})
    return filled(found, config, {}, "golden", backbone)


def convolution(name: str, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    return {f"{name}.weight": weight[:, :, None, None], f"{name}.bias": bias}


def without_addon(model: PrototypeModel) -> PrototypeModel:
    model.branches["main"].addon = nn.Identity()
    return model


@pytest.mark.parametrize("size", ["1x1", "2x2"])
@pytest.mark.parametrize("activation", ["log", "linear"])
@torch.no_grad()
def test_protopnet(golden, size, activation):
    v = golden(f"protopnet_proto_layer_{size}")
    prototypes, depth = v.tensor("prototypes"), v["prototypes"].shape[1]
    unused = {kind: tensor for n in (0, 2) for kind, tensor in blank(f"add_on_layers.{n}", depth, depth).items()}
    tensors = {"prototype_vectors": prototypes, "last_layer.weight": v.tensor("last_layer_weight"), **unused}
    settings = {"prototype_class_identity": v.tensor("prototype_class_identity"), "epsilon": v.number("epsilon")}
    model = without_addon(imported(tensors, depth, prototype_activation_function=activation, **settings))
    assert model.prototype_class.tolist() == v["prototype_class_identity"].argmax(1).tolist()
    near = model(v.tensor("features")).logits
    exact = v[f"logits_{activation}_f64"] if f"logits_{activation}_f64" in v else v[f"logits_{activation}"]
    close(near, exact, atol=1e-3 if activation == "log" else 2e-4)


def blank(name: str, inputs: int, outputs: int) -> dict[str, Tensor]:
    return convolution(name, torch.zeros(outputs, inputs), torch.zeros(outputs))


@pytest.mark.parametrize("variant", ["cropped", "full"])
@torch.no_grad()
def test_st_protopnet(golden, variant):
    v = golden(f"st_heads_{variant}")
    tensors: dict[str, Tensor] = {}
    for branch in ("trivial", "support"):
        for number, place in enumerate((0, 2) if variant == "cropped" else (1, 2), 1):
            weight, bias = v.tensor(f"addon_{branch}_w{number}"), v.tensor(f"addon_{branch}_b{number}")
            tensors |= convolution(f"add_on_layers_{branch}.{place}", weight, bias)
        tensors[f"prototype_vectors_{branch}"] = v.tensor(f"prototypes_{branch}")[:, :, None, None]
        tensors[f"last_layer_{branch}.weight"] = v.tensor(f"last_layer_{branch}")
    output = imported(tensors, v["x"].shape[1])(v.tensor("x"))
    for branch in ("trivial", "support"):
        close(output.branches[branch].logits, v[f"logits_{branch}"], atol=2e-5)
    assert output.logits.argmax(1).tolist() == v["predicted"].tolist()


@torch.no_grad()
def test_tesnet(golden):
    v = golden("tesnet_head")
    tensors = {
        "prototype_vectors": v.tensor("prototypes")[:, :, None, None],
        "last_layer.weight": v.tensor("last_layer"),
    }
    for number, place in ((1, 0), (2, 2)):
        tensors |= convolution(f"add_on_layers.{place}", v.tensor(f"addon_w{number}"), v.tensor(f"addon_b{number}"))
    close(imported(tensors, v["x"].shape[1], "tesnet")(v.tensor("x")).logits, v["logits"], atol=2e-5)


@torch.no_grad()
def test_evalprotopnet(golden):
    v = golden("eval_heads")
    tensors = {
        "prototype_vectors": v.tensor("prototypes")[:, :, None, None],
        "activation_weight": v.tensor("activation_weight"),
        **convolution("add_on_layers.0", v.tensor("addon_w").flatten(1), v.tensor("addon_b")),
    }
    close(imported(tensors, v["deep"].shape[1])(v.tensor("deep")).logits, v["logits"], atol=2e-5)


@pytest.mark.parametrize("activation", ["log", "linear"])
@torch.no_grad()
def test_protopool(golden, activation):
    v = golden("protopool_heads")
    depth = v["prototypes"].shape[1]
    tensors = {
        "proto_presence": v.tensor("slot_logits"),
        "prototype_vectors": v.tensor("prototypes"),
        "last_layer.weight": v.tensor("last_layer_weight"),
        **blank("add_on_layers.0", depth, depth),
    }
    model = without_addon(imported(tensors, depth, prototype_activation_function=activation))
    assert model.head.chosen().tolist() == v["class_to_prototype"].tolist()
    if activation == "log":
        close(model(v.tensor("features")).logits, v["evidence_logits"], atol=1e-4)


def component_scores(v: Vectors, tensors: Mapping[str, Tensor], name: str | None = None) -> Tensor:
    return imported(tensors, v["features"].shape[1], name)(v.tensor("features")).logits


@torch.no_grad()
def test_pipnet(golden):
    v = golden("pipnet_eval")
    close(component_scores(v, {"_classification.weight": v.tensor("head_weight")}), v["out_inference"], atol=1e-5)


@torch.no_grad()
def test_cbc(golden):
    v = golden("cbc_deep_head")
    tensors = {"_classification.reasoning_probabilities": v.tensor("joint_logits")}
    close(component_scores(v, tensors), v["out_inference"], atol=1e-5)
