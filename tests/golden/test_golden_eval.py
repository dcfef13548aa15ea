"""EvalProtoPNet: score aggregation, shallow-deep alignment, losses with their gradients, and whole training losses."""

from __future__ import annotations

import pytest
import torch
from golden_vectors import Vectors, close
from torch import Tensor, nn

from protoexplain.models.contract import Ownership
from protoexplain.models.families.evalprotopnet import EvalProtoPNetConfig
from protoexplain.models.families.evalprotopnet.network import EvalProtoPNet
from protoexplain.models.heads import AggregationHead
from protoexplain.models.losses import shallow_deep_alignment
from protoexplain.models.similarity import Cosine

pytestmark = pytest.mark.golden

TERMS = {"cluster": "cluster", "separation": "separation", "ortho": "orthogonality", "cross_entropy": "cross_entropy"}
COSTS = {
    "cross_entropy": "cross_entropy",
    "cluster_cost": "cluster",
    "separation_cost": "separation",
    "ortho_cost": "orthogonality",
    "consis_cost": "alignment",
}


class StoredMaps(nn.Module):
    """Gives the stored deep map [B,D,H,W], which gets a gradient, and the shallow one for any images."""

    def __init__(self, v: Vectors) -> None:
        super().__init__()
        self.deep, self.shallow = v.tensor("deep").requires_grad_(), v.tensor("shallow")

    def forward(self, images: Tensor) -> Tensor:
        return self.deep

    def with_shallow(self, images: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        return self.deep, self.shallow


def evalprotopnet(v: Vectors, tolerance: float) -> EvalProtoPNet:
    prototypes, weight = v.tensor("prototypes"), v.tensor("addon_w")
    config = EvalProtoPNetConfig(
        prototypes_per_class=int(v["num_prototypes_per_class"]),
        prototype_channels=prototypes.shape[1],
        tolerance=tolerance,
        published_diagonal=True,
    )
    model = EvalProtoPNet(config, int(v["num_classes"]), StoredMaps(v), weight.shape[1])
    _, branch = model.named_branches()[0]
    convolution = next(layer for layer in branch.addon if isinstance(layer, nn.Conv2d))
    convolution.weight.data, convolution.bias.data = weight[:, :, None, None], v.tensor("addon_b")
    branch.prototypes.data = prototypes[:, :, None, None].clone()
    branch.head.weight.data = v.tensor("activation_weight")
    return model


def test_heads(golden):
    v = golden("eval_heads")
    model, deep = evalprotopnet(v, 0.1), v.tensor("deep")
    _, branch = model.named_branches()[0]
    with torch.no_grad():
        maps = branch.similarity_maps(deep)
        close(branch.addon(deep), v["push_conv_features"], atol=1e-5)
        close(maps, v["push_activations"], atol=1e-5)
        close(maps.flatten(2), v["projection_activations"], atol=1e-5)
        output = model(deep)
        close(output.logits, v["logits"], atol=1e-5)
        close(-output.branches["main"].similarity, v["cosine_min_distances"], atol=1e-5)
        cosines = Cosine().maps(branch.addon(deep), branch.prototypes)
        close(-cosines.flatten(2).amax(2), v["cosine_min_distances"], atol=1e-5)


def test_score_aggregation(golden):
    v = golden("eval_heads")
    owner = torch.arange(int(v["num_classes"])).repeat_interleave(int(v["num_prototypes_per_class"]))
    head = AggregationHead(Ownership.of_labels(owner, int(v["num_classes"])))
    head.weight.data = v.tensor("activation_weight")
    close(head(v.tensor("sa_input")), v["sa_output"], atol=1e-5)


def test_alignment(golden):
    v = golden("eval_heads")
    labels, shallow = v.tensor("labels"), v.tensor("shallow")
    per_class = int(v["num_prototypes_per_class"])
    owner = torch.arange(int(v["num_classes"])).repeat_interleave(per_class)
    peaks = v.tensor("projection_activations").argmax(2)
    cells = peaks[labels[:, None] == owner].view(len(labels), per_class)
    thresholds = [key.removeprefix("sdfa_loss_thresh") for key in v if key.startswith("sdfa_loss_thresh")]
    assert thresholds
    for threshold in thresholds:
        deep = v.tensor("deep").requires_grad_()
        loss = shallow_deep_alignment(deep, shallow, cells, float(threshold))
        close(loss, v[f"sdfa_loss_thresh{threshold}"], atol=2e-6)
        loss.backward()
        close(deep.grad, v[f"sdfa_grad_deep_thresh{threshold}"], atol=1e-6)


def test_losses(golden):
    v = golden("eval_heads")
    model = evalprotopnet(v, 0.1)
    _, branch = model.named_branches()[0]
    terms = model.loss_terms(model(v.tensor("deep")), v.tensor("labels"), frozenset(TERMS.values()))
    for key, term in TERMS.items():
        close(terms[term], v[key], atol=2e-6, rtol=1e-6 if key == "ortho" else 0)
        (gradient,) = torch.autograd.grad(terms[term], branch.prototypes, retain_graph=True)
        close(gradient.flatten(1), v[f"grad_{key}_wrt_prototypes"], atol=1e-6, rtol=1e-6 if key == "ortho" else 0)
    (gradient,) = torch.autograd.grad(terms["cross_entropy"], branch.head.weight)
    close(gradient, v["grad_cross_entropy_wrt_activation_weight"], atol=1e-6)


@pytest.mark.parametrize("phase", ["warmup", "joint"])
def test_training_losses(golden, phase):
    v = golden("eval_total_loss")
    expected = v.under(f"{phase}_")
    model = evalprotopnet(v, v.number("consis_thresh"))
    _, branch = model.named_branches()[0]
    weights = {
        "cross_entropy": v.number("coef_crs_ent"),
        "cluster": v.number("coef_clst"),
        "separation": v.number("coef_sep"),
        "orthogonality": v.number("coef_orth"),
        "alignment": v.number("coef_consis") if phase == "joint" else 0.0,
    }
    names = frozenset(weights)
    terms = model.loss_terms(model.from_images(v.tensor("deep"), names), v.tensor("labels"), names)
    for key, term in COSTS.items():
        close(terms[term], expected[key], atol=2e-5, rtol=1e-6 if term == "orthogonality" else 0)
    loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    close(loss, expected["loss"], atol=2e-5)
    loss.backward()
    convolution = next(layer for layer in branch.addon if isinstance(layer, nn.Conv2d))
    close(branch.prototypes.grad.flatten(1), expected["grad_prototypes"], atol=2e-6)
    close(convolution.weight.grad.flatten(1), expected["grad_addon_w"].reshape(convolution.weight.shape[:2]), atol=2e-6)
    close(branch.head.weight.grad, expected["grad_activation_weight"], atol=2e-6)
    close(model.backbone.deep.grad, expected["grad_deep"], atol=2e-6)


def test_prototypes_have_unit_length_after_a_step(golden):
    """The reference steps with a learning rate of zero: what is left of the step is the normalisation."""
    v = golden("eval_total_loss")
    model = evalprotopnet(v, v.number("consis_thresh"))
    model.constrain(frozenset({"prototypes"}))
    _, branch = model.named_branches()[0]
    for phase in ("warmup", "joint"):
        close(branch.prototypes.flatten(1), v[f"{phase}_prototypes_after_normalisation"], atol=2e-6)
