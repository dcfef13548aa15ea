"""ProtoPNet: prototype layer, add-ons, losses, training, pruning."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from golden_steps import train_step
from golden_vectors import Vectors, close
from torch import Tensor, nn

from protoexplain.models.base import Branch
from protoexplain.models.families.protopnet import ProtoPNetConfig, ProtoPNetSchedule, stages
from protoexplain.models.families.protopnet.network import ProtoPNet, addon_layers
from protoexplain.models.similarity import NegativeSquaredL2, patches_of
from protoexplain.training import prune
from protoexplain.training.engine import freeze, make_optimizer, set_learning_rates
from protoexplain.training.projection import latent_batches
from protoexplain.training.responses import responses

pytestmark = pytest.mark.golden

COEFFICIENTS = {
    "default_coefs": {"cross_entropy": 1.0, "cluster": 0.8, "separation": -0.08, "l1": 1e-4},
    "settings_coefs": {"cross_entropy": 1.0, "cluster": 0.8, "separation": -0.08, "l1": 1e-4},
    "custom_coefs": {"cross_entropy": 0.7, "cluster": 0.5, "separation": -0.2, "l1": 1e-2},
}
WHOLE_L1 = "nomask"
"""The custom weights with L1 over all of W."""


def branch_of(model: ProtoPNet) -> Branch:
    return model.named_branches()[0][1]


def model_with(prototypes: Tensor, identity: Tensor, weight: Tensor | None = None, **config: object) -> ProtoPNet:
    """A ProtoPNet without backbone and add-on: its input is the latent map."""
    count, depth, *size = prototypes.shape
    classes = identity.shape[1]
    settings = ProtoPNetConfig(
        prototypes_per_class=count // classes, prototype_channels=depth, prototype_size=tuple(size), **config
    )
    model = ProtoPNet(settings, classes, nn.Identity(), depth)
    assert model.ownership.labels.tolist() == identity.argmax(1).tolist()
    branch = branch_of(model)
    branch.addon = nn.Identity()
    branch.prototypes.data = prototypes
    if weight is not None:
        branch.head.weight.data = weight
    return model


@pytest.mark.parametrize("size", ["1x1", "2x2"])
def test_prototype_layer(golden, size):
    """Near distance zero the published similarities are float32 noise; the float64 ones hold everywhere."""
    v = golden(f"protopnet_proto_layer_{size}")
    z, prototypes, identity = (v.tensor(k) for k in ("features", "prototypes", "prototype_class_identity"))
    far, far_maps = v.tensor("min_distances_f64") > 0.01, v.tensor("distances_f64") > 0.01
    clear = far.all(1)
    model = model_with(prototypes, identity, epsilon=v.number("epsilon"))
    initial = branch_of(model).head.weight.detach().clone()
    close(initial, v["last_layer_weight_init"], atol=0)
    close(model(z).logits[clear], v["logits_log_init_weights"][clear], atol=1e-4 * len(prototypes))
    close(model(z).logits, v["similarities_log_f64"] @ initial.double().numpy().T, atol=1e-4 * len(prototypes))
    branch_of(model).head.weight.data = v.tensor("last_layer_weight")
    out, maps = model(z).branches["main"], branch_of(model).similarity_maps(z)
    for key in ("distances", "distances_f64"):
        close(-maps, v[key], atol=5e-5)
        close(-out.similarity, v[f"min_{key}"], atol=5e-5)
    close(out.activations[far], v.tensor("similarities_log")[far], atol=1e-4)
    close(out.activations, v["similarities_log_f64"], atol=1e-4)
    close(model.activation_maps(z)[0][far_maps], v.tensor("similarity_maps_log")[far_maps], atol=1e-4)
    close(out.logits, v["logits_log_f64"], atol=1e-4 * len(prototypes))
    close(out.logits[clear], v["logits_log"][clear], atol=1e-4 * len(prototypes))

    linear = model_with(prototypes, identity, v.tensor("last_layer_weight"), activation="linear")(z)
    close(linear.branches["main"].activations, v["similarities_linear"], atol=5e-5)
    close(linear.logits, v["logits_linear"], atol=5e-5 * len(prototypes))


@pytest.mark.parametrize("size", ["1x1", "2x2"])
def test_weighted_distances_are_distances_of_scaled_patches(golden, size):
    v = golden(f"protopnet_proto_layer_{size}")
    z, prototypes = v.tensor("features"), v.tensor("prototypes")
    expected = v.tensor("weighted_distances")
    patches = patches_of(z, prototypes).unflatten(2, expected.shape[2:])
    scales = v.tensor("patch_weights").flatten(1).sqrt()[:, :, None, None]
    flat = prototypes.flatten(1)[:, :, None, None]
    maps = [NegativeSquaredL2().maps(patches * s, (p * s)[None]) for s, p in zip(scales, flat, strict=True)]
    close(-torch.cat(maps, 1), expected, atol=5e-5)


def test_addon_layers(golden):
    v = golden("protopnet_addon_layers")
    assert v.groups()
    for group in v.groups():
        g = v.under(f"{group}/")
        x, depth = g.tensor("input"), g["output"].shape[1]
        layers = addon_layers(x.shape[1], depth, "regular" if group == "regular" else "bottleneck")
        assert [type(layer).__name__ for layer in layers] == g["layer_kinds"].tolist()
        convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
        for i, layer in enumerate(convolutions):
            layer.weight.data, layer.bias.data = g.tensor(f"conv{i}_weight"), g.tensor(f"conv{i}_bias")
        close(layers(x), g["output"], atol=1e-5)


def total(terms: Mapping[str, Tensor], coefficients: Mapping[str, float]) -> Tensor:
    return torch.stack([weight * terms[name] for name, weight in coefficients.items()]).sum()


@pytest.mark.parametrize("case", ["normal", "far"])
def test_losses(golden, case):
    v = golden("protopnet_losses").under(f"{case}/")
    z, labels, identity = v.tensor("features"), v.tensor("labels"), v.tensor("prototype_class_identity")
    model = model_with(v.tensor("prototypes"), identity, v.tensor("last_layer_weight"), published_saturation=True)
    prototypes, weight = branch_of(model).prototypes, branch_of(model).head.weight
    z.requires_grad_()
    output = model(z)
    distances = -output.branches["main"].similarity
    terms = model.loss_terms(output, labels, frozenset(COEFFICIENTS["default_coefs"]))
    foreign = ~model.ownership.of_images(labels)
    as_map = prototypes.detach().flatten(1).T[None, :, :, None]
    pairs = -NegativeSquaredL2().maps(as_map, prototypes.detach()) if prototypes.shape[2:] == (1, 1) else None
    assert pairs is not None
    values = {
        "cross_entropy": terms["cross_entropy"],
        "cluster": terms["cluster"],
        "separation": terms["separation"],
        "l1_masked": terms["l1"],
        "avg_separation": ((distances * foreign).sum(1) / foreign.sum(1)).mean(),
        "l1_unmasked": weight.abs().sum(),
        "prototype_pair_dist_mean": pairs.mean(),
        "accuracy": (output.logits.argmax(1) == labels).double().mean(),
    }
    for key, value in values.items():
        close(value, v[key], atol=1e-7, rtol=1e-5)
    close(distances, v["min_distances"], atol=5e-5)
    close(output.logits, v["logits"], atol=1e-4)

    losses = {name: total(terms, coefficients) for name, coefficients in COEFFICIENTS.items()}
    custom = COEFFICIENTS["custom_coefs"]
    losses[WHOLE_L1] = losses["custom_coefs"] + custom["l1"] * (weight.abs().sum() - terms["l1"])
    assert set(v.groups()) == set(losses)
    leaves = {"grad_prototypes": prototypes, "grad_last_layer": weight, "grad_features": z}
    for name, loss in losses.items():
        close(loss, v[f"{name}/total_loss"], atol=1e-6, rtol=1e-5)
        gradients = torch.autograd.grad(loss, list(leaves.values()), retain_graph=True)
        for key, gradient in zip(leaves, gradients, strict=True):
            close(gradient, v[f"{name}/{key}"], atol=1e-5)


def training_model(v: Vectors) -> tuple[ProtoPNet, dict[str, nn.Parameter]]:
    """The model at its initial values, and its parameters by the names of the file."""
    init = v.under("init/")
    identity = v.tensor("prototype_class_identity")
    c1, c2 = (nn.Conv2d(*init[f"features.{name}.weight"].shape[1::-1], 3, stride=2, padding=1) for name in ("c1", "c2"))
    count, depth = init["prototype_vectors"].shape[:2]
    config = ProtoPNetConfig(
        prototypes_per_class=count // identity.shape[1], prototype_channels=depth, published_saturation=True
    )
    backbone = nn.Sequential(c1, nn.ReLU(), c2, nn.ReLU())
    model = ProtoPNet(config, identity.shape[1], backbone, c2.out_channels)
    branch = branch_of(model)
    parameters = {
        "prototype_vectors": branch.prototypes,
        **{f"features.c1.{name}": p for name, p in c1.named_parameters()},
        **{f"features.c2.{name}": p for name, p in c2.named_parameters()},
        **{f"add_on_layers.{name}": p for name, p in branch.addon.named_parameters()},
        "last_layer.weight": branch.head.weight,
    }
    assert set(parameters) == set(init)
    for name, parameter in parameters.items():
        parameter.data = init.tensor(name)
    return model, parameters


def test_training(golden):
    """Warm, joint and last-layer epochs in the published schedule, with its optimizers and losses."""
    v = golden("protopnet_training")
    model, parameters = training_model(v)
    schedule = ProtoPNetSchedule()
    rows = {stage.name: stage for stage in stages(schedule)}
    factors = [schedule.decay.multiplier(n + 1) for n in range(len(v["lr_multiplier_joint_epochs"]))]
    close(torch.tensor(factors, dtype=torch.float64), v["lr_multiplier_joint_epochs"], atol=1e-9)
    batches = list(zip(v.tensor("images").split(4), v.tensor("labels").split(4), strict=True))
    epochs, seen = len(v["total_losses"]) // (3 * len(batches)), []
    for snapshot, stage in zip(("after_warm", "after_joint", "after_last"), rows.values(), strict=True):
        trained = freeze(model, stage.lr)
        optimizer = make_optimizer(model, stage, trained)
        for epoch in range(1, epochs + 1):
            set_learning_rates(optimizer, stage, epoch)
            seen += [train_step(model, optimizer, batch, schedule.losses.model_dump(), trained) for batch in batches]
        for name, parameter in parameters.items():
            close(parameter, v[f"{snapshot}/{name}"], atol=1e-5)
    close(torch.tensor(seen), v["total_losses"], atol=2e-5)


class StoredDistances(NegativeSquaredL2):
    """Takes the latent map for the distances themselves."""

    def maps(self, z: Tensor, prototypes: Tensor) -> Tensor:
        return -z

    def best(self, z: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        values, cells = (-z).flatten(2).max(2)
        return values, cells


def test_pruning(golden):
    v = golden("protopnet_prune")
    distances, labels = v.tensor("distances"), v.tensor("labels")
    before = v.tensor("prototype_class_identity_before")
    model = model_with(v.tensor("prototypes_before"), before, v.tensor("last_layer_before")).eval()
    branch = branch_of(model)
    branch.similarity = StoredDistances()
    batches = list(zip(distances.split(7), labels.split(7), torch.arange(len(labels)).split(7), strict=True))
    for key in [key for key in v if key.startswith("nearest_labels_k")]:
        k = int(key.removeprefix("nearest_labels_k"))
        nearest = responses(model, latent_batches(model, batches), len(labels), k).nearest
        assert nearest.tolist() == v[key].tolist()
    nearest = responses(model, latent_batches(model, batches), len(labels), int(v["k"])).nearest
    to_prune = prune.unfaithful(nearest, model.ownership, threshold=int(v["prune_threshold"]))
    index = to_prune.nonzero()[:, 0]
    pruned = torch.stack([index, model.ownership.labels[index]], 1)
    assert sorted(pruned.tolist()) == sorted(v["prune_info_index_class"].tolist())
    prune.prune(model, to_prune)
    close(branch.prototypes, v["prototypes_after"], atol=0)
    close(branch.head.weight, v["last_layer_after"], atol=0)
    identity = torch.nn.functional.one_hot(model.ownership.labels, model.classes)
    close(identity, v["prototype_class_identity_after"], atol=0)
    kept = -distances.flatten(2).amin(2)[:, ~to_prune]
    close(-kept, v["min_distances_after"], atol=0)
    close(model.from_activations(branch.activation(kept)).logits, v["logits_after"], atol=1e-4)
