"""Cosine ProtoPNet: similarity maps, scores and loss terms with their gradients, most similar patches."""

from __future__ import annotations

import pytest
import torch
from golden_vectors import Vectors, close
from torch import nn

from protoexplain.models.families.protopnet import ProtoPNetConfig
from protoexplain.models.families.protopnet.network import ProtoPNet
from protoexplain.models.similarity import RectifiedCosine
from protoexplain.training.projection import search
from protoexplain.training.stopping import projections_end

pytestmark = pytest.mark.golden

SIGNS = {"cross_entropy": 1, "cluster": -1, "separation": -1, "l1": 1}
"""Costs of similarities are their negatives."""


def model_of(v: Vectors) -> ProtoPNet:
    """Without backbone and add-on: its input is the latent map."""
    prototypes = v.tensor("prototypes", torch.float64)[:, :, None, None]
    classes = v["class_identity"].shape[1]
    config = ProtoPNetConfig(
        similarity="cosine", prototypes_per_class=len(prototypes) // classes, prototype_channels=prototypes.shape[1]
    )
    model = ProtoPNet(config, classes, nn.Identity(), prototypes.shape[1])
    ((_, branch),) = model.named_branches()
    branch.addon = nn.Identity()
    branch.prototypes.data = prototypes
    close(branch.head.weight, v["last_layer_init"], atol=0)
    branch.head.weight.data = v.tensor("last_layer", torch.float64)
    return model.double()


def test_similarity_maps(golden):
    v = golden("cosine_head")
    x = v.tensor("x", torch.float64)
    for key, prototypes in (("", v.tensor("prototypes")[:, :, None, None]), ("_2x3", v.tensor("prototypes_2x3"))):
        close(RectifiedCosine().maps(x, prototypes.double()), v[f"similarity_maps{key}"], atol=1e-6)


def test_scores_and_loss_terms_with_gradients(golden):
    v = golden("cosine_head")
    model, x = model_of(v), v.tensor("x", torch.float64).requires_grad_()
    ((_, branch),) = model.named_branches()
    output = model(x)
    close(output.activations, v["k1_scores"], atol=1e-6)
    close(output.logits, v["k1_logits"], atol=1e-5)
    terms = model.loss_terms(output, v.tensor("labels"), frozenset(SIGNS))
    for name, sign in SIGNS.items():
        close(sign * terms[name], v[f"k1_{name}"], atol=1e-5)
    weights = {name: v.number(f"coef_{name}") * sign for name, sign in SIGNS.items()}
    total = torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()
    close(total, v["k1_total"], atol=1e-5)
    leaves = {"x": x, "prototypes": branch.prototypes, "last_layer": branch.head.weight}
    found = torch.autograd.grad(total, list(leaves.values()), retain_graph=True)
    for name, gradient in zip(leaves, found, strict=True):
        close(gradient.view(v[f"k1_grad_total_{name}"].shape), v[f"k1_grad_total_{name}"], atol=1e-5)
    for name in ("cluster", "separation", "cross_entropy"):
        found = torch.autograd.grad(SIGNS[name] * terms[name], [x, branch.prototypes], retain_graph=True)
        for key, gradient in zip(("x", "prototypes"), found, strict=True):
            close(gradient.view(v[f"k1_grad_{name}_{key}"].shape), v[f"k1_grad_{name}_{key}"], atol=1e-5)


def test_projection_takes_the_most_similar_patch_as_it_is(golden):
    v = golden("cosine_head")
    model, labels = model_of(v).float(), v.tensor("project_labels")
    features = v.tensor("project_features")
    indices = torch.arange(len(features))
    sizes = v["project_batch_sizes"].tolist()
    parts = zip(features.split(sizes), labels.split(sizes), indices.split(sizes), strict=True)
    (found,) = search(model.eval(), parts)
    known = torch.isin(model.prototype_class, labels)
    assert (~known).any()
    where = v.tensor("project_location")[known]
    assert found.image[known].tolist() == where[:, 0].tolist()
    assert torch.stack([found.row, found.column], 1)[known].tolist() == where[:, 1:].tolist()
    close(found.similarity[known], v.tensor("project_best")[known], atol=1e-6)
    close(found.patch[known], v.tensor("project_prototypes")[known], atol=1e-6)


@pytest.mark.parametrize("group", ["early_stop", "early_stop_random"])
def test_projections_without_gain_end_training(golden, group):
    v = golden("cosine_head")
    for before, after, index in zip(*(v[f"{group}_{key}"].tolist() for key in ("pre", "post", "index")), strict=True):
        rows = list(zip(before, after, strict=True))
        ends = (place for place in range(len(rows)) if projections_end(rows[: place + 1], 2))
        assert next(ends, -1) == index
