"""The protocol of FunnyBirds: which parts count, what is named, and the scores (Hesse et al. 2023)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_vectors import Vectors, close

from protoexplain.data.class_parts import ClassParts
from protoexplain.metrics.stats.part_protocol import (
    THRESHOLDS,
    Curves,
    agreement,
    best_threshold,
    check_means,
    completeness_curve,
    contrast_points,
    contrasts_hold,
    controlled_check,
    distraction,
    members,
    named_items,
    rank_agreement,
    relevant,
    sets_of,
)

pytestmark = pytest.mark.golden
NAMES = ("beak", "eye", "foot", "tail", "wing")
COLOURS = (
    ((255, 255, 0),),
    ((255, 255, 253), (255, 255, 254)),
    ((255, 0, 1), (255, 0, 2)),
    ((0, 0, 255),),
    ((0, 255, 1), (0, 255, 2)),
    *(((204, 204, 204 + number),) for number in range(4)),
)
PARTS = len(NAMES)


@pytest.fixture(scope="module")
def v(golden) -> Vectors:
    return golden("funnybirds_scores")


@pytest.fixture(scope="module")
def class_parts(v) -> ClassParts:
    return ClassParts(NAMES, tuple(map(tuple, v["class_parts"].tolist())))


def picked(v: Vectors, table: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """[N,...] of one class for each image, from [N,C,...]."""
    return table[torch.arange(len(table)), classes]


def items(v: Vectors) -> torch.Tensor:
    """bool [N,9]: which parts and objects an image has."""
    objects = torch.arange(4) < v.tensor("n_background")[:, None]
    return torch.cat([torch.ones(len(objects), PARTS, dtype=torch.bool), objects], 1)


def without(v: Vectors) -> torch.Tensor:
    """[N,9,C] class scores without each item."""
    logits = v.tensor("logits").double()
    return torch.cat([logits[:, [1 << part for part in range(PARTS)]], logits[:, 32:]], 1)


def named(v: Vectors, which: str) -> torch.Tensor:
    bits = np.unpackbits(v[f"important_{which}"], axis=2, count=PARTS + 4)
    return torch.from_numpy(bits).bool()


def test_thresholds(v):
    assert pytest.approx(v["thresholds"].tolist(), abs=1e-12) == THRESHOLDS


@pytest.mark.parametrize("published", [False, True])
def test_minimal_sufficient_sets(v, class_parts, published):
    expected = v["minimal_sets_official" if published else "minimal_sets"]
    for label, row in enumerate(expected.tolist()):
        assert sorted(class_parts.minimal_sufficient_sets(label, published)) == sorted(bits for bits in row if bits)


def test_contrasts(v, class_parts):
    for label, pair in enumerate(v["contrast_pairs"].tolist()):
        found = class_parts.contrast(label)
        assert found is not None
        assert list(found.classes) == pair
        assert list(found.shared) == v["contrast_shared"][label].tolist()


@pytest.mark.parametrize("which", ["label", "predicted"])
def test_items_that_are_named(v, which):
    classes = v.tensor("labels") if which == "label" else v.tensor("logits")[:, 0].argmax(1)
    attribution = picked(v, v.tensor("attributions", torch.float32), classes)
    importance = picked(v, v.tensor("part_importances"), classes)
    found = named_items(importance, attribution.sum((1, 2)), published=True)
    assert torch.equal(found, named(v, which))
    corrected = named_items(importance, attribution.sum((1, 2)))
    assert not bool(corrected[importance[:, None].expand_as(corrected) <= 0].any()), "what is not there is not named"
    positive = attribution.sum((1, 2)) > 0
    assert torch.equal(corrected[positive], found[positive])
    assert not bool(positive.all())


def curves(v: Vectors, class_parts: ClassParts, published: bool) -> Curves:
    labels, logits = v.tensor("labels"), v.tensor("logits").double()
    predicted, classes = logits[:, 0].argmax(1), logits.argmax(2)
    own, its = named(v, "label"), named(v, "predicted")
    taken = sets_of(its[:, :, :PARTS])
    sets = [class_parts.minimal_sufficient_sets(label, published) for label in range(len(class_parts.variants))]
    wrong = (predicted != labels)[:, None]
    score = picked(v, logits[:, 0], labels)
    gone = without(v)[torch.arange(len(labels)), :, labels]
    return Curves(
        controlled_check(own[:, :, :PARTS], labels, sets).masked_fill(wrong, torch.nan),
        agreement(predicted, classes.gather(1, (1 << PARTS) - 1 - taken)),
        1 - agreement(predicted, classes.gather(1, taken)),
        distraction(own, items(v) & ~relevant(score, gone)),
    )


def test_completeness(v, class_parts):
    sums = curves(v, class_parts, True).rows().sum(0)[None]
    for name, mean in zip(("csdc", "pc", "dc", "d"), check_means(sums), strict=True):
        close(torch.from_numpy(mean[0]), v[name], atol=1e-6)
    curve = completeness_curve(sums)
    assert best_threshold(curve).tolist() == [int(v["best"])]
    assert curve[0, int(v["best"])] == pytest.approx(v.number("com"), abs=1e-6)
    corrected = check_means(curves(v, class_parts, False).rows().sum(0)[None])[0]
    close(torch.from_numpy(corrected[0]), v["csdc_last_class_corrected"], atol=1e-6)


def test_correctness(v):
    labels = v.tensor("labels")
    falls = (v.tensor("logits")[:, :1].double() - without(v))[torch.arange(len(labels)), :PARTS, labels]
    importance = picked(v, v.tensor("part_importances"), labels)[:, :PARTS]
    found = rank_agreement(falls, importance)
    assert bool(found.isnan().any())
    assert float(found.nanmean()) == pytest.approx(v.number("cor"), abs=1e-6)


def test_contrastivity(v):
    labels = v.tensor("labels")
    (a, b), shared = v.tensor("contrast_pairs")[labels].unbind(1), v.tensor("contrast_shared")[labels]
    logits, image = v.tensor("logits").double(), torch.arange(len(labels))
    states = torch.stack([torch.zeros_like(a), shared[:, 0], shared[:, 1]], 1)
    of_a = logits[image[:, None], states, a[:, None]]
    of_b = logits[image[:, None], states[:, [0, 2, 1]], b[:, None]]
    holds = contrasts_hold(of_a, of_b)
    assert int(holds.sum()) == int(v["con_used_images"])
    importance = v.tensor("part_importances")
    points = contrast_points(*(picked(v, importance, c)[:, :PARTS] for c in (a, b)), members(shared, PARTS))
    assert float(points[holds].mean()) == pytest.approx(v.number("con"), abs=1e-6)


def test_background_independence(v):
    labels = v.tensor("labels")
    score = picked(v, v.tensor("logits")[:, 0].double(), labels)
    found = relevant(score, without(v)[torch.arange(len(labels)), :, labels]) & items(v)
    share = float(found[:, PARTS:].sum() / v.tensor("n_background").sum())
    assert 1 - share == pytest.approx(v.number("bi"), abs=1e-6)
    assert (v.number("com") + v.number("cor") + v.number("con")) / 3 == pytest.approx(v.number("overall"), abs=1e-9)
