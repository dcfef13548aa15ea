"""PIP-Net on feature maps: losses of both training phases, their gradients and the shrinking of the head."""

from __future__ import annotations

import pytest
import torch
from golden_vectors import Vectors, close
from torch import Tensor, nn

from protoexplain.models.families.pipnet import PIPNetConfig, PIPNetSchedule, stages
from protoexplain.models.families.pipnet.network import PIPNet
from protoexplain.training.engine import loss_weights

pytestmark = pytest.mark.golden
F64 = torch.float64
VALUE, GRADIENT = {"atol": 2e-6, "rtol": 1e-5}, {"atol": 1e-6, "rtol": 1e-4}


@pytest.fixture
def v(golden):
    return golden("pipnet_losses")


def pipnet(v: Vectors) -> PIPNet:
    model = PIPNet(PIPNetConfig(), len(v["head_weight"]), nn.Identity(), v["features"].shape[1])
    model.branches["main"].head.weight = nn.Parameter(v.tensor("head_weight"))
    return model.double()


def weighted(model: PIPNet, v: Vectors, features: Tensor, weights: dict[str, float]) -> Tensor:
    labels = v.tensor("labels").repeat(2)
    terms = model.loss_terms(model(features), labels, frozenset(weights))
    assert terms.keys() == weights.keys()
    return sum(weights[name] * term for name, term in terms.items())


def test_forward(v):
    out = pipnet(v)(v.tensor("features", F64)).branches["main"]
    close(out.maps, v["proto_maps"], **VALUE)
    close(out.activations, v["pooled"], **VALUE)
    close(out.logits, v["out"], **VALUE)
    close((out.logits.argmax(1) == v.tensor("labels").repeat(2)).double().mean(), v["acc"], **VALUE)


def test_terms(v):
    model = pipnet(v)
    names = frozenset({"align", "tanh", "class"})
    terms = model.loss_terms(model(v.tensor("features", F64)), v.tensor("labels").repeat(2), names)
    for name, term in terms.items():
        close(term, v[f"{name}_loss"], **VALUE)


def test_pretraining(v):
    pretrain = stages(PIPNetSchedule())[0]
    assert pretrain.epochs == 10
    features = v.tensor("features", F64).requires_grad_()
    loss = weighted(pipnet(v), v, features, loss_weights(pretrain, 4))
    close(loss, v["loss_pretrain_epoch4of10"], **VALUE)
    close(torch.autograd.grad(loss, features)[0], v["grad_features_pretrain"], **GRADIENT)


def test_training_of_the_head(v):
    head, model = stages(PIPNetSchedule())[1], pipnet(v)
    loss = weighted(model, v, v.tensor("features", F64), loss_weights(head, 1))
    close(loss, v["loss_finetune"], **VALUE)
    (gradient,) = torch.autograd.grad(loss, model.branches["main"].head.weight)
    close(gradient, v["grad_weight_finetune"], **GRADIENT)


def test_training_of_everything(v):
    model, features = pipnet(v), v.tensor("features", F64).requires_grad_()
    for joint in stages(PIPNetSchedule())[2:]:
        loss = weighted(model, v, features, loss_weights(joint, 1))
        close(loss, v["loss_train"], **VALUE)
        for_features, for_weight = torch.autograd.grad(loss, [features, model.branches["main"].head.weight])
        close(for_features, v["grad_features_train"], **GRADIENT)
        close(for_weight, v["grad_weight_train"], **GRADIENT)


def test_the_head_shrinks(v):
    model = pipnet(v)
    model.constrain(frozenset({"backbone"}))
    close(model.branches["main"].head.weight, v["head_weight"], atol=0)
    model.constrain(frozenset({"backbone", "head"}))
    close(model.branches["main"].head.weight, v["head_weight_after_projection"], atol=1e-9)
