"""Shallow Classification-By-Components and RBF networks, in float64 as the vectors were made."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from golden_vectors import Vectors, close
from torch import Tensor, nn

from protoexplain.models import detection, losses, robustness
from protoexplain.models.contract import Ownership
from protoexplain.models.families.shallow_cbc import ShallowCBCConfig
from protoexplain.models.families.shallow_cbc.network import ShallowCBC
from protoexplain.models.heads import LinearHead, SoftmaxHead
from protoexplain.models.reasoning import IndefiniteReasoningHead, ReasoningHead

pytestmark = pytest.mark.golden
F64 = torch.float64
SHALLOW = {"eu": (False, False), "sq": (True, False), "td": (False, True), "tdsq": (True, True)}
"""Suffix -> whether distances are squared, whether they are tangent distances."""


def reasoning_head(joint_logits: Tensor) -> ReasoningHead:
    head = ReasoningHead(len(joint_logits) // 2, joint_logits.shape[1])
    head.joint_logits = nn.Parameter(joint_logits)
    return head


def linear_head(weight: Tensor, head: LinearHead) -> LinearHead:
    head.weight = nn.Parameter(weight)
    return head


def test_detection(golden):
    v = golden("cbc_detection")
    x, components, tangents = (v.tensor(key, F64) for key in ("x", "components", "tangents"))
    sigma = v.number("sigma")
    squared = detection.squared_distance(x, components)
    distance = detection.root_distance(squared)
    trained = detection.positive_sigma(v.tensor("sigma_per_component_raw", F64))
    signed = v.tensor("x_signed", F64), v.tensor("components_signed", F64)
    tangent = detection.tangent_squared_distance(x, components, tangents)
    actual = {
        "dist_euclid": distance,
        "dist_euclid_squared": squared,
        "det_exp_euclid": detection.exponential_detection(distance, sigma),
        "det_exp_squared": detection.exponential_detection(squared, sigma),
        "sigma_per_component": trained,
        "det_exp_squared_trainable_sigma": detection.exponential_detection(squared, trained),
        "det_relu_cosine": detection.relu_cosine(*signed),
        "cosine": detection.relu_cosine(*signed) - detection.relu_cosine(-signed[0], signed[1]),
        "dist_tangent_squared": tangent,
        "dist_tangent": detection.root_distance(tangent),
    }
    for key, value in actual.items():
        close(value, v[key], atol=2e-6, rtol=1e-5)


def test_margin_loss_and_its_template_and_distance_forms(golden):
    v = golden("cbc_margin_loss")
    labels = v.tensor("labels")
    template_class = v.tensor("template_labels").argmax(1)
    classes = v["template_labels"].shape[1]
    low, high, apart = v["margins"].tolist()
    prob, scores, distances = (
        v.tensor(key, F64).requires_grad_() for key in ("prob", "template_prob", "template_dist")
    )
    best = losses.best_per_class(scores, template_class, classes)
    closest = losses.best_per_class(-distances, template_class, classes)
    cases = {
        "m025": (losses.margin_loss(prob, labels, low), prob),
        "m300": (losses.margin_loss(prob, labels, high), prob),
        "templates_m300": (losses.margin_loss(best, labels, high), scores),
        "distance_m100": (losses.margin_loss(closest, labels, apart), distances),
    }
    for key, (loss, source) in cases.items():
        close(loss, v[f"loss_{key}"], atol=1e-6, rtol=1e-5)
        (gradient,) = torch.autograd.grad(loss.mean(), source, retain_graph=True)
        close(gradient, v[f"grad_mean_{key}"], atol=1e-6, rtol=1e-5)
    close(losses.glvq_loss(closest, labels), v["loss_glvq"], atol=1e-6, rtol=1e-5)


def rbf_kernels(v: Vectors, kind: str) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Leaves, squared distances and kernel responses of the RBF network."""
    leaves = {key: v.tensor(key, F64).requires_grad_() for key in ("components", "weights", "sigma")}
    squared = detection.squared_distance(v.tensor("x", F64), leaves["components"])
    distance = squared if kind == "sq" else detection.root_distance(squared)
    return (
        leaves,
        squared,
        detection.exponential_detection(distance, detection.positive_sigma(leaves["sigma"])),
    )


@pytest.mark.parametrize("kind", ["sq", "eu"])
def test_rbf_logits(golden, kind):
    v = golden("cbc_rbf")
    leaves, _, raw = rbf_kernels(v, kind)
    weight = leaves["weights"].detach()
    heads = {
        "wraw": linear_head(weight, LinearHead(Ownership.of_all(weight.shape[1], len(weight)))),
        "wnorm": linear_head(weight, SoftmaxHead(weight.shape[1], len(weight))),
    }
    for name, kernels in {"kraw": raw, "knorm": detection.normalised_kernels(raw)}.items():
        close(kernels, v[f"kernel_{kind}_{name}"], atol=2e-6, rtol=1e-4)
        for head_name, head in heads.items():
            close(head(kernels), v[f"logits_{kind}_{head_name}_{name}"], atol=2e-6, rtol=1e-4)


def test_rbf_cross_entropy_gradients(golden):
    v = golden("cbc_rbf")
    leaves, _, kernels = rbf_kernels(v, "sq")
    loss = F.cross_entropy(kernels @ leaves["weights"].T, v.tensor("labels"))
    close(loss, v["ce_loss_sq_wraw_kraw"], atol=2e-6, rtol=1e-4)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    for key, gradient in zip(leaves, gradients, strict=True):
        close(gradient, v[f"grad_{key}_ce"], atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", ["sq", "eu"])
def test_rbf_certificate(golden, kind):
    v = golden("cbc_rbf")
    leaves, squared, kernels = rbf_kernels(v, kind)
    positive = leaves["weights"].softmax(1).T
    classes = torch.arange(positive.shape[1])
    sigma = detection.positive_sigma(leaves["sigma"])

    def radius(labels: Tensor) -> Tensor:
        kappa = robustness.signed_log_radius(kernels, positive, torch.zeros_like(positive), classes, labels, sigma)
        return robustness.radius(kappa, squared if kind == "sq" else None)

    predicted = (kernels @ positive).argmax(1)
    assert predicted.tolist() == v[f"robust_pred_{kind}"].tolist()
    close(radius(predicted), v[f"robust_eps_pred_{kind}"], atol=2e-6, rtol=1e-4)
    eps = radius(v.tensor("labels"))
    close(eps, v[f"robust_eps_label_{kind}"], atol=2e-6, rtol=1e-4)
    assert ((eps > 0) == (predicted == v.tensor("labels"))).all()
    loss = robustness.robust_loss(eps, margin=0.4)
    close(loss, v[f"robust_loss_margin04_{kind}"], atol=2e-6, rtol=1e-4)
    gradients = torch.autograd.grad(loss.mean(), [leaves["weights"], leaves["components"]])
    for key, gradient in zip(("weights", "components"), gradients, strict=True):
        close(gradient, v[f"grad_{key}_robust_{kind}"], atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("kind", SHALLOW)
def test_certificate_with_concepts(golden, kind):
    v = golden("cbc_robust")
    is_squared, tangent = SHALLOW[kind]
    names = {"joint_logits": "logits", "components": "components", "sigma_raw": "sigma_raw"}
    leaves = {key: v.tensor(key, F64).requires_grad_() for key in names}
    x, concept_class, labels = v.tensor("x", F64), v.tensor("template_class"), v.tensor("labels")
    if tangent:
        squared = detection.tangent_squared_distance(x, leaves["components"], v.tensor("tangents", F64))
    else:
        squared = detection.squared_distance(x, leaves["components"])
    sigma = detection.positive_sigma(leaves["sigma_raw"], v.number("eps"))
    distance = squared if is_squared else detection.root_distance(squared)
    found = detection.exponential_detection(distance, sigma)
    positive, negative = leaves["joint_logits"].softmax(0).chunk(2)
    concepts = reasoning_head(leaves["joint_logits"].detach())(found)
    best = losses.best_per_class(concepts, concept_class, int(concept_class.max()) + 1)
    close(found, v[f"detection_{kind}"], atol=2e-6, rtol=1e-4)
    close(concepts, v[f"concept_prob_{kind}"], atol=2e-6, rtol=1e-4)
    assert best.argmax(1).tolist() == v[f"pred_class_{kind}"].tolist()

    def radius(chosen: Tensor, negative_weight: float = 1.0) -> Tensor:
        kappa = robustness.signed_log_radius(found, positive, negative, concept_class, chosen, sigma)
        return robustness.radius(kappa, squared if is_squared else None, tangent, negative_weight)

    kappa = robustness.signed_log_radius(found, positive, negative, concept_class, labels, sigma)
    eps = radius(labels)
    loss = robustness.robust_loss(eps, v.number("margin"))
    negw = radius(labels, v.number("negative_loss_weight"))
    actual = {
        "kappa_label": kappa,
        "eps_pred": radius(best.argmax(1)),
        "eps_label": eps,
        "loss_margin": loss,
        "loss_margin012": robustness.robust_loss(eps, 0.12),
        "loss_margin_negw": robustness.robust_loss(negw, v.number("margin")),
    }
    for key, value in actual.items():
        close(value, v[f"{key}_{kind}"], atol=2e-6, rtol=1e-4)
    assert ((eps > 0) == (best.argmax(1) == labels)).all()
    gradients = torch.autograd.grad(loss.mean(), list(leaves.values()))
    for key, gradient in zip(leaves, gradients, strict=True):
        close(gradient, v[f"grad_{names[key]}_{kind}"], atol=1e-6, rtol=1e-3)


def test_reasoning_2024(golden):
    v = golden("cbc_reasoning_2024")
    found = v.tensor("detection", F64).requires_grad_()
    head = reasoning_head(v.tensor("joint_logits", F64))
    positive, negative = head.reasoning()
    every = torch.arange(positive.shape[1])
    prob = head(found)
    agreement, disagreement = head.evidence(found, every), head.disagreement(found, every)
    prior, requiredness = positive + negative, positive / (positive + negative)
    rebuilt = reasoning_head(torch.cat([prior * requiredness, prior * (1 - requiredness)]).detach().log())
    actual = {
        "joint": torch.cat([positive, negative]),
        "prior": prior,
        "requiredness_pos": requiredness,
        "prob": prob,
        "prob_from_requiredness": rebuilt(found),
        "prob_single_row3": head(found[3]),
        "positive_agreement": agreement.presence.sum(1),
        "negative_agreement": agreement.absence.sum(1),
        "positive_disagreement": disagreement.absence.sum(1),
        "negative_disagreement": disagreement.presence.sum(1),
        "positive_reasoning": positive,
        "negative_reasoning": negative,
    }
    for key, value in actual.items():
        close(value, v[key], atol=1e-6, rtol=1e-5)
    close(rebuilt(found), v["prob"], atol=1e-6, rtol=1e-5)
    close(agreement.total() + disagreement.total(), torch.ones_like(prob), atol=1e-12)
    total = (prob * v.tensor("cotangent", F64)).sum()
    for_logits, for_found = torch.autograd.grad(total, [head.joint_logits, found])
    close(for_logits, v["grad_joint_logits"], atol=1e-6, rtol=1e-5)
    close(for_found, v["grad_detection"], atol=1e-6, rtol=1e-5)


def test_positive_reasoning_alone_is_an_rbf_network(golden):
    v = golden("cbc_reasoning_2024")
    found, weight = v.tensor("detection", F64), v.tensor("posonly_weight", F64)
    rbf = linear_head(weight, SoftmaxHead(weight.shape[1], len(weight)))
    positive_only = reasoning_head(torch.cat([weight.T, torch.full_like(weight.T, -torch.inf)]))
    close(rbf(found), v["posonly_prob"], atol=1e-6, rtol=1e-5)
    close(positive_only(found), v["posonly_prob"], atol=1e-6, rtol=1e-5)


def indefinite_head(encoded: Tensor, concepts: int = 1) -> IndefiniteReasoningHead:
    _, components, columns = encoded.shape
    head = IndefiniteReasoningHead(components, columns // concepts, concepts)
    head.encoded = nn.Parameter(encoded)
    return head


def test_reasoning_2019(golden):
    v = golden("cbc_reasoning_2019")
    found = v.tensor("detection", F64).requires_grad_()
    head = indefinite_head(v.tensor("encoded", F64))
    every = torch.arange(v["encoded"].shape[2])
    prob, (positive, negative) = head(found), head.reasoning()
    wanted, unwanted, ignored = head.probabilities()
    agreement, disagreement = head.evidence(found, every), head.disagreement(found, every)
    actual = {
        "requiredness_pos_ind_neg": torch.stack([wanted, ignored, unwanted]),
        "prob_uniform": prob,
        "positive_agreement_uniform": agreement.presence.sum(1),
        "negative_agreement_uniform": agreement.absence.sum(1),
        "positive_disagreement_uniform": disagreement.absence.sum(1),
        "negative_disagreement_uniform": disagreement.presence.sum(1),
        "positive_reasoning_uniform": positive,
        "negative_reasoning_uniform": negative,
    }
    for key, value in actual.items():
        close(value, v[key], atol=1e-6, rtol=1e-5)
    assert torch.equal(head.indefinite(), ignored)
    total = (prob * v.tensor("cotangent", F64)).sum()
    for_encoded, for_found = torch.autograd.grad(total, [head.encoded, found])
    close(for_encoded, v["grad_encoded_uniform"], atol=2e-4, rtol=1e-3)
    close(for_found, v["grad_detection_uniform"], atol=2e-4, rtol=1e-3)


def test_first_form_of_2019(golden):
    """The layer of the first code, one and several concepts for each class, and its loss."""
    v = golden("cbc_reasoning_2019_keras")
    found, several = v.tensor("detection"), v.tensor("encoded_replicas")
    prob = indefinite_head(v.tensor("encoded"))(found)
    close(prob, v["prob_uniform"], atol=2e-6, rtol=1e-5)
    close(losses.margin_loss(prob, v.tensor("labels"), 0.3), v["margin_loss_0p3"], atol=2e-6, rtol=1e-5)
    replicas = several.shape[1]
    head = indefinite_head(several.permute(0, 2, 3, 1).flatten(2), replicas)
    expected = v.tensor("prob_replicas")
    close(head.concept_scores(found).unflatten(1, (-1, replicas)), expected, atol=2e-6, rtol=1e-5)
    close(head(found), expected.amax(2), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", SHALLOW)
def test_shallow_model(golden, kind):
    """The whole model: inputs of eight numbers stand for pictures of eight grey pixels in a row."""
    v, (is_squared, tangent) = golden("cbc_robust"), SHALLOW[kind]
    config = ShallowCBCConfig(
        image_size=8,
        picture_channels=1,
        components=len(v["components"]),
        detection="squared" if is_squared else "euclidean",
        subspace_dimension=v["tangents"].shape[2] if tangent else 0,
        robust_margin=v.number("margin"),
    )
    model = ShallowCBC(config, len(v["template_class"]) // config.concepts_per_class, nn.Identity(), 3).double()
    branch = model.branch
    subspaces = [v.tensor("components", F64)[:, None], *([v.tensor("tangents", F64).mT] if tangent else [])]
    branch.prototypes.data = torch.cat(subspaces, 1)[:, :, None]
    branch.raw_sigma.data = v.tensor("sigma_raw", F64)[0]
    branch.head.joint_logits.data = v.tensor("joint_logits", F64)
    output = model.from_features(v.tensor("x", F64)[:, None, None].expand(-1, 3, -1, -1))
    labels, tolerance = v.tensor("labels"), {"atol": 2e-6, "rtol": 1e-4}
    close(output.activations, v[f"detection_{kind}"], **tolerance)
    close(branch.head.concept_scores(output.activations), v[f"concept_prob_{kind}"], **tolerance)
    assert output.logits.argmax(1).tolist() == v[f"pred_class_{kind}"].tolist()
    close(model.certified_radius(output, output.logits.argmax(1)), v[f"eps_pred_{kind}"], **tolerance)
    close(model.certified_radius(output, labels), v[f"eps_label_{kind}"], **tolerance)
    loss = model.loss_terms(output, labels, frozenset({"robust"}))["robust"]
    close(loss, v[f"loss_margin_{kind}"].mean(), **tolerance)
    leaves = {"logits": branch.head.joint_logits, "components": branch.prototypes, "sigma_raw": branch.raw_sigma}
    for key, gradient in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
        expected = v.tensor(f"grad_{key}_{kind}", F64)
        own = gradient[:, 0] if key == "components" else gradient
        close(own.view_as(expected), expected, atol=1e-6, rtol=1e-3)
