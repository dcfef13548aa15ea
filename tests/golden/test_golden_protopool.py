"""ProtoPool: assignment, focal similarity, head, losses with gradients, annealing, projection."""

from __future__ import annotations

import pytest
import torch
from golden_vectors import Vectors, close
from test_golden_push import batches
from torch import Tensor, nn

from protoexplain.models.families.protopool import ProtoPoolConfig
from protoexplain.models.families.protopool import network as protopool
from protoexplain.models.families.protopool.network import MIXED, MixedOutput, ProtoPool
from protoexplain.models.slots import FULL_SCALE, annealed_scale, log_assignment
from protoexplain.regions.boxes import high_activation_boxes, upsample
from protoexplain.training import projection

pytestmark = pytest.mark.golden

WEIGHTS = {"cross_entropy": 1.0, "cluster": 0.8, "separation": -0.08, "l1": 1e-4, "orthogonality": 1.0}


def model_of(v: Vectors, prototypes: str = "prototypes", activation: str = "log") -> ProtoPool:
    """On ready features."""
    classes, count, slots = v["slot_logits"].shape
    depth = v[prototypes].shape[1]
    config = ProtoPoolConfig(
        prototypes=count, slots=slots, prototype_channels=depth, activation=activation, published_saturation=True
    )
    model = ProtoPool(config, classes, nn.Identity(), depth).double()
    branch = model.branches["main"]
    branch.addon = nn.Identity()
    branch.prototypes.data = v.tensor(prototypes).double()
    model.head.slot_logits.data = v.tensor("slot_logits").double()
    if "last_layer_weight" in v:
        model.head.weight.data = v.tensor("last_layer_weight").double()
    return model.eval()


@pytest.fixture
def noise(monkeypatch):
    """Let slots be assigned with given noise."""
    return lambda values: monkeypatch.setattr(protopool, "gumbel_noise", lambda like: values)


@pytest.mark.parametrize("activation", ["log", "linear"])
@torch.no_grad()
def test_heads(golden, noise, activation):
    v = golden("protopool_heads")
    model, features, drawn = model_of(v, activation=activation), v.tensor("features").double(), v.tensor("gumbel_noise")
    noise(drawn)
    branch, initial = model.branches["main"], v.tensor("last_layer_init")
    close(-branch.projected_by.maps(features, branch.prototypes), v["distances"], atol=1e-10)
    for name, scale in zip(("soft", "g3", "g40", "infer"), v["gumbel_scales"].tolist(), strict=True):
        found = v.under(f"{name}/")
        share = log_assignment(model.head.slot_logits, scale, drawn).exp()
        close(share, found["slot_distribution"], atol=1e-10)
        model.train()
        model.head.scale = scale
        out = model(features)
        close(-out.branches["main"].similarity, v["min_distances"], atol=1e-10)
        close(out.logits, found[f"logits_{activation}"], atol=1e-10)
        own = model.head.weight.data
        model.head.weight.data = initial
        close(model(features).logits, found[f"logits_init_{activation}"], atol=1e-10)
        close(model(features).logits, found[f"logits_sum_{activation}"], atol=1e-10)
        model.head.weight.data = own
    fresh = ProtoPool(ProtoPoolConfig(prototypes=9, slots=3, prototype_channels=6), 4, nn.Identity(), 6)
    close(fresh.head.weight, initial, atol=0)


@torch.no_grad()
def test_evidence_of_chosen_slots(golden):
    v = golden("protopool_heads")
    model, features = model_of(v), v.tensor("features").double()
    assert model.head.chosen().tolist() == v["class_to_prototype"].tolist()
    out = model(features)
    close(model.class_weights(), v["evidence_weight"], atol=1e-10)
    close(out.activations, v["evidence_focal"], atol=1e-10)
    close(out.logits, v["evidence_logits"], atol=1e-10)
    close(model.evidence(out.activations, torch.arange(4)).total(), v["infer/logits_log"], atol=1e-10)


def test_annealing_and_initial_slots(golden):
    v = golden("protopool_heads")
    for total, row in zip(v["schedule_gumbel_time"].tolist(), v["schedule_scale"].tolist(), strict=True):
        assert [annealed_scale(epoch / total) for epoch in range(len(row))] == pytest.approx(row, abs=1e-9)
    drawn = ProtoPool(ProtoPoolConfig(prototype_channels=2), 200, nn.Identity(), 2).head.slot_logits
    assert float(drawn.detach().std()) == pytest.approx(v.number("slot_init_std_202_200_10"), rel=0.02)


@pytest.mark.parametrize("pictures", ["plain", "mix"])
@pytest.mark.parametrize("slots", ["soft", "g3"])
@pytest.mark.parametrize("case", ["normal", "far"])
def test_losses_and_gradients(golden, noise, case, slots, pictures):
    v = golden("protopool_losses").under(f"{case}/")
    expected = v.under(f"{slots}_{pictures}/")
    model, features, names = model_of(v).train(), v.tensor("features").double(), frozenset({MIXED, *WEIGHTS})
    features.requires_grad_(True)
    noise(v.tensor("gumbel_noise"))
    model.head.scale = {"soft": 0.0, "g3": 3.0}[slots]
    out = model.from_features(features)
    close(out.logits, expected["logits"], atol=1e-10)
    if pictures == "mix":
        share = v.tensor("mix_lambda")
        out = MixedOutput(logits=out.logits, branches=out.branches, order=v.tensor("mix_permutation"), share=share)
    terms = model.loss_terms(out, v.tensor("labels"), names)
    terms["cross_entropy"] = terms.pop(MIXED)
    groups = {
        "slot_logits": model.head.slot_logits,
        "prototypes": model.branches["main"].prototypes,
        "last_layer_weight": model.head.weight,
        "features": features,
    }
    for name, term in terms.items():
        close(term, expected[name], atol=1e-10)
        of_term = gradients(term, {key: groups[key] for key in ("slot_logits", "prototypes")})
        for key, gradient in of_term.items():
            if f"grad_{key}_of_{name}" in expected:
                close(gradient, expected[f"grad_{key}_of_{name}"], atol=1e-10)
    total = sum(WEIGHTS[name] * term for name, term in terms.items())
    close(total, expected["total"], atol=1e-10)
    for key, gradient in gradients(total, groups).items():
        close(gradient, expected[f"grad_{key}"], atol=1e-10)


def gradients(term: Tensor, groups: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(term, list(groups.values()), retain_graph=True, allow_unused=True)
    return {
        key: torch.zeros_like(groups[key]) if each is None else each for key, each in zip(groups, found, strict=True)
    }


@pytest.mark.parametrize("case", ["normal", "far"])
def test_last_layer(golden, noise, case):
    """At the published scale of the last stage its noisy slots; with frozen slots they choose without noise."""
    v = golden("protopool_losses").under(f"{case}/")
    expected, model = v.under("finetune_mix/"), model_of(v).train()
    noise(v.tensor("gumbel_noise"))
    model.head.scale = 10 * FULL_SCALE
    features = v.tensor("features").double()
    out, share = model.from_features(features), v.tensor("mix_lambda")
    close(out.logits, expected["logits"], atol=1e-10)
    mixed = MixedOutput(logits=out.logits, branches=out.branches, order=v.tensor("mix_permutation"), share=share)
    terms = model.loss_terms(mixed, v.tensor("labels"), frozenset({MIXED, "l1"}))
    total = terms[MIXED] + WEIGHTS["l1"] * terms["l1"]
    close(WEIGHTS["l1"] * terms["l1"], expected["l1_scaled"], atol=1e-10)
    close(total, expected["total"], atol=1e-10)
    total.backward()
    close(model.head.weight.grad, expected["grad_last_layer_weight"], atol=1e-10)
    model.head.slot_logits.requires_grad_(False)
    assert torch.equal(model.from_features(features).logits, model.eval().from_features(features).logits)


@pytest.mark.parametrize("from_features", [False, True], ids=["images", "features"])
@torch.no_grad()
def test_push(golden, from_features):
    """Prototypes that no slot chose are dropped before, and not compared."""
    v = golden("protopool_push")
    model = model_of(v, "prototypes_before").float()
    if not from_features:
        model.backbone = network_of(v.under("net/"))
    inputs, branch = v.tensor("feature_maps" if from_features else "images").float(), model.branches["main"]
    close(model.backbone(inputs), v["feature_maps"], atol=1e-5)
    assert model.head.chosen().tolist() == v["class_to_prototype"].tolist()
    assert model.unused.tolist() == v["is_unused"].tolist()
    (patches,) = projection.search(model, batches(inputs, v.tensor("labels"), int(v["batch_size"])))
    chosen, used = v.tensor("chosen_image_row_col"), ~model.unused
    found = used & (chosen[:, 0] >= 0)
    assert torch.equal(patches.found & used, found)
    where = torch.stack([patches.image, patches.row, patches.column], 1)
    assert where[found].tolist() == chosen[found].tolist()
    close(-patches.similarity[found], v.tensor("min_distance")[found], atol=5e-5)
    marked = high_activation_boxes(upsample(branch.activation_maps(patches.maps), 32, 32))
    for p in found.nonzero()[:, 0].tolist():
        box, image = marked[p], int(patches.image[p])
        expected = v["high_activation_boxes"][p].tolist()
        assert [image, box.y0, box.y1, box.x0, box.x1, int(v["labels"][image])] == expected
    projection.replace_prototypes(model, [patches])
    close(branch.prototypes[found], v.tensor("prototypes_after")[found], atol=1e-5)


def network_of(net: Vectors) -> nn.Sequential:
    layers: list[nn.Module] = []
    for name in ("features.c1", "features.c2", "add_on_layers.0"):
        outputs, inputs, side, _ = net[f"{name}.weight"].shape
        layer = nn.Conv2d(inputs, outputs, side, stride=2 if side > 1 else 1, padding=side // 2)
        layer.weight.data, layer.bias.data = net.tensor(f"{name}.weight"), net.tensor(f"{name}.bias")
        layers += [layer, nn.ReLU() if side > 1 else nn.Sigmoid()]
    return nn.Sequential(*layers)
