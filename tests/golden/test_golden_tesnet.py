"""TesNet: maps, scores, and loss terms with their gradients, before and after prototypes have unit length."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from golden_vectors import Vectors, close
from torch import Tensor, nn

from protoexplain.models.families.tesnet import TesNetConfig
from protoexplain.models.families.tesnet.network import TesNet
from protoexplain.models.heads import LinearHead
from protoexplain.models.similarity import Cosine

pytestmark = pytest.mark.golden

COEFFICIENTS = {
    "cross_entropy": "crs_ent",
    "cluster": "clst",
    "separation": "sep",
    "orthogonality": "orth",
    "subspace_separation": "sub_sep",
    "l1": "l1",
}
PUBLISHED = {"orthogonality": "orthonormality"}
"""Names of terms in the files where they differ."""


def model_of(v: Vectors, key: str, dtype: torch.dtype) -> TesNet:
    """Without backbone: its input is the features."""
    prototypes = v.tensor(key)
    classes = len(v["last_layer"])
    config = TesNetConfig(
        prototypes_per_class=len(prototypes) // classes, prototype_channels=prototypes.shape[1], published_diagonal=True
    )
    model = TesNet(config, classes, nn.Identity(), v["addon_w1"].shape[1])
    ((_, branch),) = model.named_branches()
    for number, layer in enumerate((layer for layer in branch.addon if isinstance(layer, nn.Conv2d)), 1):
        layer.weight.data = v.tensor(f"addon_w{number}")[:, :, None, None]
        layer.bias.data = v.tensor(f"addon_b{number}")
    branch.prototypes.data = prototypes[:, :, None, None]
    branch.head.weight.data = v.tensor("last_layer")
    return model.to(dtype)


PRECISIONS = pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])


@PRECISIONS
@torch.no_grad()
def test_maps_and_scores(golden, dtype, atol):
    v = golden("tesnet_head")
    model, x = model_of(v, "prototypes", dtype), v.tensor("x", dtype)
    ((name, branch),) = model.named_branches()
    output, z, fresh = model(x), branch.addon(x), LinearHead(model.ownership)
    out = output.branches[name]
    found = {
        "conv_features": z,
        "projection_maps": model.activation_maps(x)[0],
        "cosine_distance_maps": -Cosine().maps(z, branch.prototypes),
        "push_distances": -branch.projected_by.maps(z, branch.prototypes),
        "projection_max": output.activations,
        "cosine_min_distances": -out.similarity,
        "logits": output.logits,
        "last_layer_init": fresh.weight,
        "logits_init_weights": fresh.to(dtype)(output.activations),
        "class_identity": model.ownership.owned,
    }
    for key, value in found.items():
        close(value, v[key], atol=2 * atol)


def across(gradient: Tensor, prototypes: Tensor) -> Tensor:
    """The part of a gradient [P,D] across the unit prototypes; the part along them is rounding noise."""
    return gradient - (gradient * prototypes).sum(1, keepdim=True) * prototypes


@PRECISIONS
@pytest.mark.parametrize("kind", ["raw", "unit"])
def test_loss_terms_with_gradients(golden, kind, dtype, atol):
    v = golden("tesnet_losses")
    model, x = model_of(v, f"{kind}_prototypes", dtype), v.tensor("x", dtype).requires_grad_()
    ((name, branch),) = model.named_branches()
    known = v.under(f"{kind}_")
    output = model(x)
    close(output.logits, known["logits"], atol=2 * atol)
    close(-output.branches[name].similarity, known["cosine_min_distances"], atol=atol)
    terms = model.loss_terms(output, v.tensor("labels"), frozenset(COEFFICIENTS))
    terms["total"] = torch.stack([v.number(f"coef_{key}") * terms[term] for term, key in COEFFICIENTS.items()]).sum()
    first, second = (layer for layer in branch.addon if isinstance(layer, nn.Conv2d))
    leaves = {"prototypes": branch.prototypes, "last_layer": branch.head.weight, "x": x}
    leaves |= {"addon_w1": first.weight, "addon_b1": first.bias, "addon_w2": second.weight, "addon_b2": second.bias}
    checked = 0
    for term, cost in terms.items():
        own = PUBLISHED.get(term, term)
        close(cost, known[own], atol=atol, rtol=atol)
        for leaf, tensor in leaves.items():
            if f"grad_{own}_{leaf}" not in known:
                continue
            (actual,) = torch.autograd.grad(cost, tensor, retain_graph=True)
            wanted = known.tensor(f"grad_{own}_{leaf}", dtype)
            actual, checked = actual.view_as(wanted), checked + 1
            if kind == "unit" and leaf == "prototypes" and term in ("orthogonality", "total"):
                unit = F.normalize(branch.prototypes.detach().flatten(1), dim=1)
                actual, wanted = across(actual, unit), across(wanted, unit)
            close(actual, wanted, atol=atol, rtol=atol)
    assert checked == sum(key.startswith("grad_") for key in known)
    model.constrain(frozenset({"prototypes"}))
    close(branch.prototypes.flatten(1), known["prototypes_after_step"], atol=atol)
