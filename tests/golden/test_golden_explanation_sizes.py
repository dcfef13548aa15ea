"""Sizes of explanations, thresholds for foreign images and abstention of PIP-Net and CBC; purity of PIP-Net."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_vectors import Vectors, close
from torch import Tensor, nn

from protoexplain.metrics.observe.parts import Parts, merged_sides
from protoexplain.metrics.scores.purity import count_parts, patch_edges, top_images
from protoexplain.metrics.stats.explanation_sizes import active_size, all_classes_size, predicted_size, used
from protoexplain.metrics.stats.out_of_distribution import abstained, accepted, class_thresholds, overall_threshold
from protoexplain.models.families.cbc import CBCConfig
from protoexplain.models.families.cbc.network import CBC
from protoexplain.models.families.pipnet import PIPNetConfig
from protoexplain.models.families.pipnet.network import PIPNet

pytestmark = pytest.mark.golden
F64, EPSILON, BATCH = torch.float64, 1e-3, 8


def sizes(
    activations: Tensor, weights: list[Tensor], scores: list[Tensor], labels: Tensor
) -> tuple[list[float], Tensor]:
    """The six published figures, whose fourth depends on the batches; and the confusions.  Weights [C,P] by batch."""
    chunks, classes = activations.split(BATCH), scores[0].shape[1]
    every = torch.cat(scores)
    predicted = every.argmax(1)
    hits = (every.topk(min(5, classes)).indices == labels[:, None]).any(1)
    local = [
        predicted_size(part, weight, score.argmax(1), EPSILON)
        for part, weight, score in zip(chunks, weights, scores, strict=True)
    ]
    pairs = sum(
        int((part[:, None] * weight > EPSILON).any(0).sum()) for part, weight in zip(chunks, weights, strict=True)
    )
    confusion = torch.zeros(classes, classes, dtype=torch.long)
    confusion.index_put_((labels, predicted), torch.ones_like(labels), accumulate=True)
    figures = [
        float((predicted == labels).double().mean()),
        float(hits.double().mean()),
        float(torch.cat(local).double().mean()),
        pairs / len(labels),
        float(active_size(activations, EPSILON).double().mean()),
        float(used(weights[-1], EPSILON).sum()),
    ]
    return figures, confusion


def check_thresholds(v: Vectors, known: Tensor, foreign: Tensor, labels: Tensor) -> None:
    right = known.argmax(1) == labels
    close(torch.tensor(overall_threshold(known)), v["threshold_overall"], atol=1e-6, rtol=1e-5)
    close(torch.tensor(overall_threshold(known[right])), v["threshold_overall_correct"], atol=1e-6, rtol=1e-5)
    thresholds = class_thresholds(known)
    close(thresholds, v["thresholds_class"], atol=0, rtol=1e-5)
    passed = accepted(foreign, thresholds).double().mean()
    assert float(passed) == pytest.approx(v.number("id_fraction_ood_class"), abs=1e-9)
    above = (foreign.amax(1) >= overall_threshold(known)).double().mean()
    assert float(above) == pytest.approx(v.number("id_fraction_ood_overall"), abs=1e-9)


def test_cbc(golden):
    v = golden("cbc_deep_eval")
    features, labels = v.tensor("features", F64), v.tensor("labels")
    model = CBC(CBCConfig(inference_threshold=0.1), v["joint_logits"].shape[1], nn.Identity(), features.shape[1])
    model.branches["main"].head.joint_logits = nn.Parameter(v.tensor("joint_logits", F64))
    model = model.double().eval()
    with torch.no_grad():
        output = model(features)
        activations, head = output.branches["main"].activations, model.branches["main"].head
        positive, negative = head.reasoning()
        presence = model.evidence(torch.ones(1, activations.shape[1], dtype=F64), torch.arange(6)).presence[0].T
    close(presence, positive.T, atol=1e-15)
    for name, side in (("positive", presence), ("negative", negative.T)):
        parts = output.logits.split(BATCH)
        figures, confusion = sizes(activations, [side] * len(parts), list(parts), labels)
        close(torch.tensor(figures), v[f"{name}_metrics"], atol=1e-6)
        assert torch.equal(confusion, v.tensor("confusion"))
    with torch.no_grad():
        known, foreign = (
            head(maps.softmax(1).flatten(2).amax(2)) for maps in (features, v.tensor("features_ood", F64))
        )
    check_thresholds(v, known, foreign, labels)


def test_pipnet(golden):
    v = golden("pipnet_eval")
    first = int(v["first_row_for_thresholds_and_metrics"])
    labels = v.tensor("labels")[first:]
    weight, features = v.tensor("head_weight", F64), v.tensor("features", F64)
    model = PIPNet(PIPNetConfig(), len(weight), nn.Identity(), features.shape[1])
    model.branches["main"].head.weight = nn.Parameter(weight.clone(), requires_grad=False)
    model = model.double()
    pooled, scores = (getattr(model.train()(features), name) for name in ("activations", "logits"))
    close(pooled, v["pooled"], atol=2e-6, rtol=1e-5)
    close(scores, v["out"], atol=2e-6, rtol=1e-5)
    found, scores = (getattr(model.eval()(features), name) for name in ("activations", "logits"))
    close(found, v["pooled_clamped"], atol=2e-6, rtol=1e-5)
    close(scores, v["out_inference"], atol=2e-6, rtol=1e-5)
    assert int(abstained(scores).sum()) == int(v["abstained"])
    weights, outputs = [], []
    for part in found[first:].split(BATCH):  # as published, the head shrinks before each batch and stays so
        weight = (weight - 1e-3).clamp_min(0)
        weights.append(weight)
        outputs.append(part @ weight.T)
    close(weight, v["head_weight_after_eval"], atol=1e-12)
    figures, confusion = sizes(found[first:], weights, outputs, labels)
    close(torch.tensor(figures), v["metrics"], atol=1e-6)
    assert torch.equal(confusion, v.tensor("confusion"))
    foreign = v.tensor("features_ood", F64).softmax(1).flatten(2).amax(2)
    whole = v.tensor("head_weight", F64).clamp_min(0)
    check_thresholds(v, pooled[first:] @ whole.T, foreign @ whole.T, labels)


def test_batches_of_one_image_count_pairs():
    generator = torch.Generator().manual_seed(0)
    activations, weights = torch.rand(7, 5, generator=generator), torch.rand(3, 5, generator=generator) - 0.3
    pairs = [int((image * weights > EPSILON).sum()) for image in activations]
    assert all_classes_size(activations, weights, EPSILON).tolist() == pairs


def test_patch_boxes(golden):
    table = golden("pipnet_patch_coords")["table"]
    compared = 0
    for size, length, patch, step, dimensions, row, column, *box in table.tolist():
        if dimensions != 3:  # the code of the pictures has another rule
            continue
        assert (patch, step) == (32, round((size - 32) / (length - 1)))
        along = torch.tensor(length)
        edges = [int(edge) for cell in (row, column) for edge in patch_edges(torch.tensor(cell), along, size)]
        assert edges == box, (length, row, column)
        compared += 1
    assert compared > 50


def test_chosen_patches(golden):
    v = golden("pipnet_topk")
    maps = v.tensor("maps")
    pooled, length, count = maps.flatten(2).amax(2), maps.shape[3], int(v["k"])
    chosen, used_ = top_images(pooled, count), used(v.tensor("head_weight"), 1e-5)

    def row_of(prototype: int, image: int) -> list[int]:
        cells = divmod(int(maps[image, prototype].argmax()), length)
        edges = [int(e) for cell in cells for e in patch_edges(torch.tensor(cell), torch.tensor(length), 224)]
        return [prototype, image, *edges]

    best = [row_of(p, image) for p in torch.nonzero(used_).flatten().tolist() for image in chosen[:, p].tolist()]
    assert best == v["topk_rows"].tolist()
    above = torch.nonzero((pooled > v.number("all_threshold")) & used_)
    assert [row_of(prototype, image) for image, prototype in above.tolist()] == v["all_rows"].tolist()


def test_purity(golden):
    v = golden("pipnet_purity")
    names = tuple(map(str, v["part_names"]))
    table, patches = v.tensor("part_x_y_visible"), v.tensor("patches")
    width_height = v.tensor("image_width_height", F64)
    crops = torch.cat([torch.zeros_like(width_height), width_height], 1)
    parts = Parts(names, torch.zeros(0), table[..., 2] > 0, table[..., :2], crops, int(v["image_size"]))
    prototype, image = patches[:, 0].long(), patches[:, 1].long()
    found = count_parts(parts, prototype, image, patches[:, 2:], len(v["purity_max"]))
    merged, part_of = merged_sides(names)
    last = [np.flatnonzero(part_of == part)[-1] for part in range(len(merged))]
    assert torch.equal(found.hits, v.tensor("hits_per_part")[:, last])
    assert torch.equal(found.visible, v.tensor("visible_per_part")[:, last])
    close(found.of(found.purest), v["purity_max"], atol=1e-9)
    assert [names[last[part]] for part in found.purest.tolist()] == v["purity_max_part"].tolist()
    unique = v.tensor("most_often_is_unique")
    close(found.of(found.most_often)[unique], v["purity_most_often"][unique], atol=1e-9)
    assert [last[p] + 1 for p in found.most_often[unique].tolist()] == v["most_often_part_id"][unique].tolist()
    assert torch.equal(found.hits.amax(1)[unique], v.tensor("most_often_count")[unique])
    figures = [
        value
        for share in (found.of(found.purest), found.of(found.most_often))
        for value in (share.mean(), share.std(correction=0))
    ]
    related = (found.of(found.purest) > 0.5).sum()
    close(
        torch.stack([*figures, torch.tensor(float(len(found.hits))), related.double()]),
        v["summary_mean_std_meanoften_stdoften_n_related"],
        atol=1e-9,
    )
