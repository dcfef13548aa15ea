"""ST-ProtoPNet: heads, losses with their gradients, optimizer steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_steps import train_step
from golden_vectors import Vectors, close, st_protopnet
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.models.base import Branch
from protoexplain.models.families.st_protopnet.network import STProtoPNet
from protoexplain.models.heads import LinearHead
from protoexplain.models.stage import Stage
from protoexplain.training.engine import freeze, make_optimizer

pytestmark = pytest.mark.golden

BRANCHES = ("trivial", "support")
VARIANTS = ("cropped", "full")
SHORT = {"trivial": "trv", "support": "spt"}
PAIR = {"trivial": "discrimination", "support": "closeness"}


def stored_prototypes(v: Vectors, suffix: str = "") -> dict[str, Tensor]:
    return {name: v.tensor(f"prototypes_{name}{suffix}") for name in BRANCHES}


def weights(v: Vectors, branch: str) -> dict[str, float]:
    """Loss weights of the branch's steps."""
    return {
        "cross_entropy": v.number("coef_crs_ent"),
        "cluster": v.number(f"coef_clst_{SHORT[branch]}"),
        f"separation_{branch}": v.number(f"coef_sep_{SHORT[branch]}"),
        "orthogonality": v.number("coef_orth"),
        "l1": v.number("coef_l1"),
        PAIR[branch]: v.number("coef_discr" if branch == "trivial" else "coef_close"),
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_heads(golden, variant):
    v = golden(f"st_heads_{variant}")
    model = st_protopnet(v, variant, stored_prototypes(v)).eval()
    features = v.tensor("x")
    with torch.no_grad():
        output = model(features)
        for name, branch in model.named_branches():
            out, z = output.branches[name], branch.addon(features)
            initial = LinearHead(model.ownership.split(model.branch_sizes())[0]).weight
            close(initial, v["last_layer_init"], atol=0)
            compared = F.relu(out.similarity) if variant == "full" else out.similarity
            actual = {
                "addon_out": z,
                "similarity_maps": branch.activation(branch.similarity_maps(features)),
                "loss_similarities": compared,
                "push_features": branch.similarity.prototypes_from(z.flatten(2)).view_as(z),
                "push_distances": -branch.similarity_maps(features),
            }
            for key, value in actual.items():
                close(value, v[f"{key}_{name}"], atol=1e-5)
            close(out.logits, v[f"logits_{name}"], atol=2e-5)
    assert output.logits.argmax(1).tolist() == v["predicted"].tolist()
    chances = torch.stack([out.logits.softmax(1) for out in output.branches.values()]).mean(0)
    close(chances, v["dauc_probabilities"], atol=1e-5)


def tangent(gradient: Tensor, prototypes: Tensor) -> Tensor:
    """The part of a gradient [P,D] across the unit prototypes; the part along them is rounding noise."""
    unit = F.normalize(prototypes, dim=1)
    return gradient - (gradient * unit).sum(1, keepdim=True) * unit


class Gradients:
    """Gradients with respect to the prototypes of one branch, zero where a term does not depend on them."""

    def __init__(self, branch: Branch) -> None:
        self.branch = branch
        self.prototypes = branch.prototypes.detach().flatten(1)
        lengths = self.prototypes.norm(dim=1)
        self.unit = bool(((lengths - 1).abs() < 1e-5).all())

    def check(self, loss: Tensor, expected: NDArray, noisy: bool, atol: float) -> None:
        (gradient,) = torch.autograd.grad(loss, self.branch.prototypes, retain_graph=True, allow_unused=True)
        actual = torch.zeros_like(self.prototypes) if gradient is None else gradient.flatten(1)
        wanted = torch.from_numpy(expected)
        if noisy and self.unit:
            actual, wanted = tangent(actual, self.prototypes), tangent(wanted, self.prototypes)
        close(actual, wanted, atol=atol)


def check_value(actual: Tensor, expected: NDArray) -> None:
    """2e-6 relative or 2e-5 absolute, whichever is larger."""
    close(actual, expected, atol=max(2e-5, 2e-6 * float(np.abs(expected))))


VALUES = {
    "cross_entropy": "cross_entropy",
    "cluster_cost": "cluster",
    "separation_cost": "separation",
    "orth_cost": "orthogonality",
    "l1": "l1",
}
GRADIENTS = {"orth": "orthogonality", "cluster": "cluster", "ce": "cross_entropy", "separation": "separation"}


def check_terms(
    v: Vectors, model: STProtoPNet, features: Tensor, labels: Tensor, names: dict[str, frozenset[str]]
) -> None:
    """Every cost of both branches, and its gradient alone."""
    entropies = []
    for name, branch in model.named_branches():
        terms = model.loss_terms(model.from_features(features, name), labels, names[name], name)
        terms["separation"] = terms.pop(f"separation_{name}")
        entropies.append(terms["cross_entropy"])
        for key, term in VALUES.items():
            check_value(terms[term], v[f"{key}_{name}"])
        gradients = Gradients(branch)
        for key, term in GRADIENTS.items():
            noisy = term == "orthogonality"
            atol = 1e-5 if noisy and not gradients.unit else 2e-6
            gradients.check(terms[term], v[f"grad_{key}_wrt_prototypes_{name}"], noisy, atol)
        check_value(terms[PAIR[name]], v[f"{PAIR[name]}_cost"])
        gradients.check(terms[PAIR[name]], v[f"grad_{PAIR[name]}_wrt_prototypes_{name}"], False, 2e-6)
    check_value(torch.stack(entropies).mean(), v["cross_entropy"])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["st_losses", "st_losses_negative"])
def test_losses(golden, kind, variant):
    """Batch 0 trains the trivial branch, batch 1 the support branch after the prototypes were normalised."""
    v = golden(f"{kind}_{variant}")
    model = st_protopnet(v, variant, stored_prototypes(v))
    names = {name: frozenset(weights(v, name)) for name in BRANCHES}
    for number, active in enumerate(BRANCHES):
        batch = v.under(f"batch{number}_")
        features, labels = batch.tensor("x"), batch.tensor("y")
        check_terms(batch, model, features, labels, names)
        chosen = weights(v, active)
        terms = model.loss_terms(model.from_features(features, active), labels, frozenset(chosen), active)
        loss = torch.stack([chosen[name] * term for name, term in terms.items()]).sum()
        check_value(loss, batch["loss"])
        for name, branch in model.named_branches():
            Gradients(branch).check(loss, batch[f"total_grad_prototypes_{name}"], True, 2e-6)
            (gradient,) = torch.autograd.grad(loss, branch.head.weight, retain_graph=True, allow_unused=True)
            gradient = torch.zeros_like(branch.head.weight) if gradient is None else gradient
            close(gradient, batch[f"total_grad_last_layer_{name}"], atol=2e-6)
        model.constrain(frozenset({"prototypes"}))
        for name, branch in model.named_branches():
            close(branch.prototypes.flatten(1), v[f"prototypes_after_normalisation_{name}"], atol=1e-6)


@pytest.mark.parametrize("orthogonality", ["", "_noorth"], ids=["orth", "noorth"])
@pytest.mark.parametrize("mode", ["torch1", "torch2"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_train_steps(golden, variant, mode, orthogonality):
    """torch1 zeroes gradients in place, so that the idle branch still moves; torch2 leaves it alone."""
    v = golden(f"st_train_steps_{variant}")
    run = v.under(f"{mode}{orthogonality}_")
    model = st_protopnet(v, variant, stored_prototypes(v, "_init"))
    stage = Stage(
        name="warm",
        epochs=1,
        lr={"addon": v.number("lr_addon"), "prototypes": v.number("lr_prototypes")},
        losses={},
        weight_decay={"addon": v.number("weight_decay_addon")},
    )
    trained = freeze(model, stage.lr)
    optimizer = make_optimizer(model, stage, trained)
    for i, batch in enumerate(zip(v.tensor("x"), v.tensor("y"), strict=True)):
        chosen = weights(v, BRANCHES[i % 2])
        if orthogonality:
            chosen["orthogonality"] = 0.0
        loss = train_step(model, optimizer, batch, chosen, trained, i, idle_branch_updates=mode == "torch1")
        # Along unit prototypes the gradient of the orthogonality cost is the sign of rounding.
        atol = 1e-5 if orthogonality else 1e-4 if i == 0 else 2e-2
        close(torch.tensor(loss), run[f"loss_{i}"], atol=1e-5 if i == 0 else atol)
        for name, branch in model.named_branches():
            second = [p for p in branch.addon.parameters() if p.dim() == 4][1]
            close(branch.prototypes.flatten(1), run[f"prototypes_{name}_after{i}"], atol=atol)
            close(second.flatten(1), run[f"addon_{name}_w2_after{i}"], atol=atol)
