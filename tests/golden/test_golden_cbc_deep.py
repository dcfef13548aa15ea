"""Deep Classification-By-Components and RBF-net on feature maps, in float64 as the vectors were made."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from golden_vectors import Vectors, close
from torch import nn

from protoexplain.models import losses
from protoexplain.models.component_schedule import ComponentConfig
from protoexplain.models.components import ComponentNet
from protoexplain.models.families.cbc import CBCConfig
from protoexplain.models.families.cbc.network import CBC
from protoexplain.models.families.rbf_net.network import RBFNet

pytestmark = pytest.mark.golden
F64 = torch.float64


def component_net(v: Vectors, kind: type[ComponentNet], threshold: float = 0.0) -> ComponentNet:
    channels, classes = v["features"].shape[1], len(v["head_weight"])
    if kind is CBC:
        config = CBCConfig(margin=v.number("margin"), inference_threshold=threshold)
        model: ComponentNet = CBC(config, classes, nn.Identity(), channels)
        parameter, value = "joint_logits", v.tensor("joint_logits")
    else:
        model = RBFNet(ComponentConfig(inference_threshold=threshold), classes, nn.Identity(), channels)
        parameter, value = "weight", v.tensor("head_weight")
    setattr(model.branches["main"].head, parameter, nn.Parameter(value))
    return model.double()


def test_deep_cbc_forward(golden):
    v = golden("cbc_deep_head")
    features = v.tensor("features", F64)
    model = component_net(v, CBC, v.number("clamp_threshold"))
    trained = model(features).branches["main"]
    close(trained.maps, v["proto_maps"], atol=2e-6, rtol=1e-5)
    close(model.activation_maps(features)[0].flatten(2).amax(2), v["pooled"], atol=2e-6, rtol=1e-5)
    close(trained.activations, v["pooled"], atol=2e-6, rtol=1e-5)
    close(trained.logits, v["out"], atol=2e-6, rtol=1e-5)
    close(torch.stack(model.branches["main"].head.reasoning()), v["effective_joint"], atol=2e-6, rtol=1e-5)
    used = model.eval()(features).branches["main"]
    close(used.activations, v["pooled_clamped"], atol=2e-6, rtol=1e-5)
    close(used.logits, v["out_inference"], atol=2e-6, rtol=1e-5)


def test_deep_cbc_finetuning(golden):
    v = golden("cbc_deep_head")
    features = v.tensor("features", F64).requires_grad_()
    labels = v.tensor("labels").repeat(2)
    model = component_net(v, CBC)
    output = model(features)
    loss = model.loss_terms(output, labels, frozenset({"margin"}))["margin"]
    close(loss, v["loss_finetune"], atol=2e-6, rtol=1e-5)
    close((output.logits.argmax(1) == labels).double().mean(), v["acc"], atol=2e-6, rtol=1e-5)
    for_features, for_logits = torch.autograd.grad(loss, [features, model.branches["main"].head.joint_logits])
    close(for_features, v["grad_features_finetune"], atol=1e-6, rtol=1e-4)
    close(for_logits, v["grad_joint_logits_finetune"], atol=1e-6, rtol=1e-4)


def test_deep_pretraining(golden):
    v = golden("cbc_deep_head")
    features = v.tensor("features", F64).requires_grad_()
    model = component_net(v, CBC)
    terms = model.loss_terms(model(features), v.tensor("labels").repeat(2), frozenset({"align", "tanh"}))
    close(terms["align"], v["align_12"], atol=2e-6, rtol=1e-5)
    loss = v.number("epoch_over_epochs") * terms["align"] + 5 * terms["tanh"]
    close(loss, v["loss_pretrain"], atol=2e-6, rtol=1e-5)
    (gradient,) = torch.autograd.grad(loss, features)
    close(gradient, v["grad_features_pretrain"], atol=1e-6, rtol=1e-4)


def test_deep_rbf_net(golden):
    v = golden("cbc_deep_head")
    features = v.tensor("features", F64).requires_grad_()
    model = component_net(v, RBFNet)
    output = model(features)
    close(output.logits, v["rbf_head_out"], atol=2e-6, rtol=1e-5)
    loss = 2 * model.loss_terms(output, v.tensor("labels").repeat(2), frozenset({"class"}))["class"]
    close(loss, v["rbf_head_loss_finetune"], atol=2e-6, rtol=1e-5)
    for_features, for_weight = torch.autograd.grad(loss, [features, model.branches["main"].head.weight])
    close(for_features, v["rbf_head_grad_features"], atol=1e-6, rtol=1e-4)
    close(for_weight, v["rbf_head_grad_weight"], atol=1e-6, rtol=1e-4)


def test_rectified_weights_on_detections(golden):
    v = golden("cbc_deep_head")
    features = v.tensor("features", F64).requires_grad_()
    weight = v.tensor("head_weight", F64).requires_grad_()
    scores = component_net(v, RBFNet)(features).branches["main"].activations @ F.relu(weight).T
    close(scores, v["pipnet_head_out"], atol=2e-6, rtol=1e-5)
    loss = 2 * losses.log_normalised_nll(scores, v.tensor("labels").repeat(2))
    close(loss, v["pipnet_head_loss_finetune"], atol=2e-6, rtol=1e-5)
    for_features, for_weight = torch.autograd.grad(loss, [features, weight])
    close(for_features, v["pipnet_head_grad_features"], atol=1e-6, rtol=1e-4)
    close(for_weight, v["pipnet_head_grad_weight"], atol=1e-6, rtol=1e-4)
