"""Non-parametric part prototypes: transport plans, foreground, moves of prototypes, scores and costs with gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from golden_vectors import Vectors, close
from torch import Tensor, nn

from protoexplain.models.families.nonparametric import NonParametricConfig
from protoexplain.models.families.nonparametric.network import NonParametricNet
from protoexplain.models.principal import first_component, published_foreground, scaled_component
from protoexplain.models.transport import transport_plan

pytestmark = pytest.mark.golden

CASES = {
    "default": {},
    "iterations1": {"iterations": 1},
    "iterations10": {"iterations": 10},
    "epsilon_half": {"sharpness": 0.5},
    "skewed": {},
    "few": {},
    "single": {},
    "one_prototype": {},
    "many": {},
}


@pytest.mark.parametrize("case", CASES)
def test_transport_plan(golden, case):
    v = golden("nonparametric_sinkhorn")
    plan = transport_plan(v.tensor(f"{case}_logits", torch.float64), **CASES[case])
    close(plan, v[f"{case}_plan"], atol=1e-9)
    assert plan.argmax(1).tolist() == v[f"{case}_assignment"].tolist()
    close(plan.mean(0), v[f"{case}_row_sums"], atol=1e-9)
    rough = transport_plan(v.tensor(f"{case}_logits"), **CASES[case])
    assert case == "single" or rough.argmax(1).tolist() == v[f"{case}_assignment"].tolist()


def test_published_foreground(golden):
    v = golden("nonparametric_foreground")
    patches = F.normalize(v.tensor("features", torch.float64), dim=2).movedim(2, 1).unflatten(2, (6, 6))
    close(first_component(patches.movedim(1, 3).flatten(0, 2)), v["component"], atol=1e-6)
    close(scaled_component(patches), v["scaled_component"], atol=1e-6)
    labels = torch.where(published_foreground(patches), v.tensor("labels")[:, None, None], int(v["bg_class"]))
    assert torch.equal(labels, v.tensor("pseudo_labels_le"))


def net(prototypes: Tensor, **settings: object) -> NonParametricNet:
    """Without a backbone, in float64.

    Args:
        prototypes: [C+1,K,D], those of the background last.
        settings: Of the configuration.
    """
    classes, count, depth = prototypes.shape
    config = NonParametricConfig(prototypes_per_class=count, **settings)
    model = NonParametricNet(config, classes - 1, nn.Identity(), depth).double()
    model.branch.prototypes.copy_(prototypes[:-1].reshape(-1, depth, 1, 1))
    model.background.copy_(prototypes[-1])
    return model


def patch_labels(v: Vectors, labels: Tensor, foreground: Tensor, classes: int) -> Tensor:
    return torch.where(foreground.bool(), labels[:, None], classes).flatten()


@pytest.mark.parametrize(("mode", "momentum"), [("default", 0.99), ("gamma999", 0.999)])
def test_prototypes_follow_their_patches(golden, mode, momentum):
    v = golden("nonparametric_update")
    start = v.tensor("prototypes_init", torch.float64)
    model, classes = net(start, momentum=momentum, published_sums=True), len(start) - 1
    for step, features in enumerate(v.tensor("features", torch.float64)):
        labels = patch_labels(v, v.tensor("labels")[step], v.tensor("foreground")[step], classes)
        assert labels.tolist() == v[f"pseudo_labels{step}"].flatten().tolist()
        tokens = F.normalize(features.flatten(0, 1), dim=1)
        if mode == "default":
            scores = tokens @ F.normalize(model.all_prototypes(), dim=1).T
            close(scores, v.tensor(f"default_patch_logits{step}").flatten(2).flatten(0, 1), atol=1e-9)
        assert model.assigned(tokens, labels).tolist() == v[f"{mode}_assignment{step}"].flatten().tolist()
        model.follow(tokens, tokens, labels)
        close(model.all_prototypes(), v.tensor(f"{mode}_prototypes_after{step}").flatten(0, 1), atol=1e-9)
    if mode == "default":
        tuned = F.normalize(v.tensor("tuned_features", torch.float64).flatten(0, 1), dim=1)
        assert model.assigned(tuned, labels).tolist() == v["stage2_assignment"].flatten().tolist()
        model.follow(tokens, tuned, labels)
        close(model.all_prototypes(), v.tensor("stage2_discarded_update").flatten(0, 1), atol=1e-9)


def test_scores_and_costs_with_gradients(golden):
    v = golden("nonparametric_head")
    prototypes = v.tensor("prototypes", torch.float64)
    classes = len(prototypes) - 1
    model = net(
        prototypes,
        temperature=v.number("temperature"),
        patch_temperature=v.number("ppd_temperature"),
        background_weight=v.number("background_weight"),
    )
    model.branch.addon = nn.Identity()
    head, labels = model.branch.head, v.tensor("labels")
    features = v.tensor("features", torch.float64).requires_grad_()
    maps = features.movedim(2, 1).unflatten(2, (4, 4))
    close(model.from_features(maps).logits, v["class_logits_uniform_weights"], atol=1e-9)
    head.weight.data = v.tensor("head_weight", torch.float64).flatten()
    output = model.from_features(maps)
    per_class = len(model.background)
    expected = v.tensor("image_prototype_logits")[:, :-1].flatten(1)
    close(output.activations, expected, atol=1e-9)
    assert expected.shape[1] == classes * per_class
    close(output.logits, v["class_logits"], atol=1e-9)
    places = patch_labels(v, labels, v.tensor("foreground"), classes)
    assert places.tolist() == v["pseudo_labels"].flatten().tolist()
    tokens = features.flatten(0, 1)
    assert model.assigned(tokens, places).tolist() == v["assignment"].flatten().tolist()
    named = {"class": F.cross_entropy(output.logits, labels), "ppd": model.patch_cost(tokens, places)}
    close(named["class"], v["loss_class"], atol=1e-9)
    close(named["ppd"], v["loss_ppd"], atol=1e-8)
    named["total"] = named["class"] + v.number("ppd_coefficient") * named["ppd"]
    close(named["total"], v["loss_total"], atol=1e-8)
    for name, loss in named.items():
        gradient, of_head = torch.autograd.grad(loss, [features, head.weight], retain_graph=True, allow_unused=True)
        close(gradient, v[f"grad_features_{name}"], atol=1e-8)
        if f"grad_head_weight_{name}" in v:
            close(of_head, v[f"grad_head_weight_{name}"].flatten(), atol=1e-9)
        else:
            assert of_head is None
