"""ProtoTree: forward pass, loss with gradients, leaves without gradient, pruning, projection, boxes."""

from __future__ import annotations

import math

import pytest
import torch
from golden_vectors import Vectors, close
from test_golden_push import batches
from torch import Tensor, nn

from protoexplain.models.families.prototree import ProtoTreeConfig
from protoexplain.models.families.prototree.network import ProtoTree
from protoexplain.models.trees import pre_order
from protoexplain.regions.boxes import boxes_above, upsample
from protoexplain.training import projection

pytestmark = pytest.mark.golden

CROSS_ENTROPY = frozenset({"cross_entropy"})


def model_of(v: Vectors, prototypes: str = "prototypes", leaves: str = "leaf_params") -> ProtoTree:
    """On ready features."""
    count, depth = v[prototypes].shape[:2]
    config = ProtoTreeConfig(depth=int(math.log2(count + 1)), prototype_channels=depth)
    model = ProtoTree(config, v[leaves].shape[1], nn.Identity(), depth).double()
    branch = model.branches["main"]
    branch.addon = nn.Identity()
    branch.prototypes.data = v.tensor(prototypes).double()
    model.head.counts = v.tensor(leaves).double()
    return model.eval()


def by_row(nodes: Tensor) -> Tensor:
    """What is told by node, level by level, in pre-order instead."""
    return nodes[..., pre_order(int(math.log2(nodes.shape[-1] + 1))).argsort()]


def greedy_leaf(model: ProtoTree, activations: Tensor) -> int:
    right, place = model.head.right(activations[None])[0], 0
    for level in range(model.head.depth):
        place = 2 * place + int(right[2**level - 1 + place] > 0.5)
    return place


@torch.no_grad()
def test_forward(golden):
    v = golden("prototree_forward")
    model, features = model_of(v), v.tensor("features").double()
    branch, out = model.branches["main"], model(features)
    maps, right = -branch.activation_maps(branch.similarity_maps(features)).log(), model.head.right(out.activations)
    close(maps, v["distances"], atol=1e-10)
    close(maps.flatten(2).amin(2), v["min_distances"], atol=1e-10)
    close(out.activations, v["route_right_probability"], atol=1e-10)
    close(by_row(right), v["route_right_probability"], atol=1e-10)
    leaves = v["leaf_node_index"].tolist()
    arrival = model.head.log_arrival(out.activations)
    close(arrival.exp(), v["arrival"][:, leaves], atol=1e-10)
    close(arrival, v["log/arrival_as_published"][:, leaves] - 1, atol=1e-5)
    close(model.head.distributions, v["leaf_distribution"], atol=1e-10)
    close(out.logits, v["output_distributed"], atol=1e-10)
    close(out.logits.log(), v["log/output_distributed"], atol=1e-5)
    assert [leaves[place] for place in arrival.argmax(1).tolist()] == v["leaf_sample_max"].tolist()
    assert [leaves[greedy_leaf(model, each)] for each in out.activations] == v["leaf_greedy"].tolist()
    for activations, output, reached in zip(out.activations, v["output_greedy"], arrival, strict=True):
        route = model.route(activations)
        assert route.label == output.argmax()
        assert route.purity == pytest.approx(output.max(), abs=1e-10)
        assert route.probability == pytest.approx(float(reached[greedy_leaf(model, activations)].exp()), abs=1e-10)


@torch.no_grad()
def test_evidence_adds_up_to_the_output(golden):
    v = golden("prototree_forward")
    model = model_of(v)
    out = model(v.tensor("features").double())
    evidence = model.evidence(out.activations, torch.arange(5))
    close(evidence.total(), v["output_distributed"], atol=1e-10)


def test_loss_and_gradients(golden):
    v = golden("prototree_losses")
    model, features = model_of(v).train(), v.tensor("features").double().requires_grad_()
    out, labels = model.from_features(features), v.tensor("labels")
    loss = model.loss_terms(out, labels, CROSS_ENTROPY)["cross_entropy"]
    wanted = torch.autograd.grad(loss, [model.branches["main"].prototypes, features])
    assert float((out.logits.argmax(1) == labels).double().mean()) == pytest.approx(v.number("plain/accuracy"))
    for case, atol in (("plain", 1e-10), ("log", 1e-6)):
        close(loss, v[f"{case}/loss"], atol=atol)
        close(wanted[0], v[f"{case}/grad_prototypes"], atol=atol)
        close(wanted[1], v[f"{case}/grad_features"], atol=atol)


@pytest.mark.parametrize("case", ["frozen", "frozen_random_start", "moving"])
def test_leaves_are_learned_without_gradient(golden, case):
    """From what they were before the step of the optimizer; after an epoch they have counted its images."""
    v = golden("prototree_leaf_update")
    start = "leaf_params_random" if case == "frozen_random_start" else "leaf_params_zero"
    expected, model, size = v.under(f"{case}/"), model_of(v, leaves=start).train(), int(v["batch_size"])
    prototypes = model.branches["main"].prototypes
    rate = v.number("moving_lr") if case == "moving" else 0.0
    optimizer = torch.optim.SGD([prototypes], lr=rate)
    features, labels = v.tensor("features").double(), v.tensor("labels")
    steps, step = -(-len(labels) // size), 0
    for _ in range(int(expected["epochs"])):
        model.begin_epoch(steps, 0)
        for images, right in zip(features.split(size), labels.split(size), strict=True):
            out = model.from_features(images)
            model.observe(out, right)
            loss = model.loss_terms(out, right, CROSS_ENTROPY)["cross_entropy"]
            close(loss, expected["losses"][step], atol=1e-10)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.constrain(frozenset({"prototypes"}))
            close(model.head.counts, expected["leaf_params_after_batch"][step], atol=1e-10)
            if case == "moving":
                close(prototypes, expected["prototypes_after_batch"][step], atol=1e-10)
            step += 1
        assert float(model.head.counts.sum()) == pytest.approx(len(labels))


CASES = ["single_leaves", "subtrees", "nested", "root_child", "quarter_under_root", "none", "random"]


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_pruning(golden, case):
    """Weak children of the root, which the published code leaves, go too."""
    v = golden("prototree_prune")
    expected = v.under(f"{case}/")
    model = model_of(v, leaves=f"{case}/leaf_params")
    head, features, labels = model.head, v.tensor("features").double(), v.tensor("labels")
    close(model(features).logits, expected["output_before"], atol=1e-10)
    weak = (head.distributions.amax(1) <= v.number("threshold")).unflatten(0, (2, -1)).all(1)
    head.prune(v.number("threshold"))
    if weak.any():
        assert (int(head.rows[0]), float(head.fixed[0])) == (-1, float(weak[0]))
        assert not head.reachable().unflatten(0, (2, -1))[weak].any()
        return
    nodes, leaves = v.tensor("branch_node_index"), v.tensor("leaf_node_index")
    alive = v.tensor(f"{case}/alive")
    assert torch.equal(~model.unused, alive[nodes])
    assert torch.equal(head.reachable(), alive[leaves])
    out = model(features)
    close(out.logits, expected["output_after"], atol=1e-10)
    likeliest, greedy = head.log_arrival(out.activations).argmax(1), []
    for number, activations in enumerate(out.activations):
        greedy.append(greedy_leaf(model, activations))
        assert len(model.route(activations).decisions) == expected["path_length_greedy"][number]
    assert leaves[likeliest].tolist() == expected["leaf_sample_max"].tolist()
    assert leaves[torch.tensor(greedy)].tolist() == expected["leaf_greedy"].tolist()
    said = [each.argmax(1) for each in (out.logits, head.distributions[likeliest], head.distributions[greedy])]
    right = torch.stack([(each == labels).double().mean() for each in said])
    close(right, expected["accuracy_distributed_samplemax_greedy"], atol=1e-10)
    same = torch.stack([(each == said[0]).double().mean() for each in said[1:]])
    close(same, expected["fidelity_samplemax_greedy"], atol=1e-10)


@pytest.mark.parametrize("case", ["constrained", "unconstrained", "constrained_after_prune"])
@torch.no_grad()
def test_projection(golden, case):
    v = golden("prototree_project")
    expected, model = v.under(f"{case}/"), model_of(v, "prototypes_before")
    features, labels, branch = v.tensor("features").double(), v.tensor("labels"), model.branches["main"]
    if case == "constrained_after_prune":
        model.head.prune(v.number("threshold"))
    used = ~model.unused
    if case != "unconstrained":
        assert torch.equal(model.ownership.owned[used], expected.tensor("allowed_class")[used])
    images = batches(features, labels, int(v["batch_size"]))
    (patches,) = projection.search(model, images, any_class=case == "unconstrained")
    where = torch.stack([patches.image, patches.row * features.shape[3] + patches.column], 1)
    wanted = torch.stack([expected.tensor("image"), expected.tensor("patch")], 1)
    assert where[used].tolist() == wanted[used].tolist()
    close((-patches.similarity[used]).sqrt(), expected.tensor("distance")[used], atol=1e-10)
    projection.replace_prototypes(model, [patches])
    close(branch.prototypes[used], expected.tensor("prototypes_after")[used], atol=1e-10)
    close(model(features).logits, expected["output_after"], atol=1e-10)


def test_boxes(golden):
    v = golden("prototree_boxes")
    for side, cell, height, width, *edges in v["table"].tolist():
        place = torch.zeros(1, side * side, dtype=torch.float64)
        place[0, cell] = 1
        pixels = upsample(place.view(1, side, side), height, width)
        (box,) = boxes_above(pixels, torch.full((1,), 1 - v.number("upsample_threshold"), dtype=pixels.dtype))
        assert [box.y0, box.y1, box.x0, box.x1] == edges
