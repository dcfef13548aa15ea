"""Relevance (CaBRNet), sparsity (ProtoPNeXt), scores over active images, foreign images (MGProto)."""

from __future__ import annotations

import pytest
import torch
from golden_vectors import close

from protoexplain.metrics.scores.prototype_score import combined
from protoexplain.metrics.stats.conditioned import (
    active_images,
    consistent,
    mean_over_active,
    part_counts,
    still_active,
)
from protoexplain.metrics.stats.out_of_distribution import area_under_roc, overall_threshold
from protoexplain.metrics.stats.part_masks import (
    box_overlap,
    peaks_of,
    pooled_pixels,
    region_overlap,
    strongest_of,
    united_masks,
)
from protoexplain.metrics.stats.prototype_sparsity import unique_prototypes
from protoexplain.metrics.stats.relevance import energy_relevance, mask_relevance

pytestmark = pytest.mark.golden


def test_relevance(golden):
    v = golden("mask_relevance")
    heat, region = v.tensor("attribution"), v.tensor("segmentation").sum(3) > 0
    close(energy_relevance(heat, region), v["energy_relevance"], atol=1e-6)
    for share in (0.1, 0.05, 0.25, 1.0):
        close(mask_relevance(heat, region, share), v[f"mask_relevance_{share}"], atol=1e-12)
    close(region.double().mean((1, 2)), v["object_share"], atol=1e-9)


@pytest.mark.parametrize("case", ["a", "b", "c"])
@pytest.mark.parametrize("kind", ["cosine", "l2"])
def test_sparsity(golden, case, kind):
    v = golden("prototype_sparsity").under(f"{case}_")
    height, width = v["latent"].tolist()
    found = unique_prototypes(v.tensor("prototypes"), kind == "cosine", height * width)
    assert found.prototypes == int(v[f"{kind}_unique_prototypes"])
    assert found.parts == int(v[f"{kind}_unique_parts"])
    assert found.sparsity(int(v["num_classes"])) == pytest.approx(v.number(f"{kind}_sparsity"), abs=1e-12)
    assert found.sparsity(1) == pytest.approx(v.number(f"{kind}_classless_sparsity"), abs=1e-12)


def test_prototype_score(golden):
    v = golden("prototype_sparsity")
    stability, consistency = v.tensor("stability"), v.tensor("consistency")
    score = float(combined(v.number("a_cosine_sparsity"), stability, consistency))
    assert score == pytest.approx(v.number("prototype_score"), abs=1e-12)
    assert score * v.number("accuracy") == pytest.approx(v.number("objective"), abs=1e-12)
    capped = float(combined(v.number("large_sparsity"), stability, consistency))
    assert capped == pytest.approx(v.number("prototype_score_capped"), abs=1e-12)


@pytest.mark.parametrize(("rule", "level"), [("relative", 0.5), ("absolute", 0.6), ("topk", 10)])
def test_conditioned_consistency(golden, rule, level):
    v = golden("conditioned_consistency")
    activations, noisy, visible = v.tensor("activations"), v.tensor("activations_noisy"), v.tensor("visible")
    hits, after = v.tensor("hits"), v.tensor("hits_noisy")
    result = v.under(f"{rule}_")
    active = active_images(activations, rule, level)
    assert torch.equal(active, result.tensor("active"))
    shown, hit = part_counts(active, visible, hits)
    close((hit / shown).masked_fill(shown < 2, torch.nan), result["frequency"], atol=1e-7)
    found = consistent(shown, hit, 0.8)
    assert 100 * float(found.nanmean()) == pytest.approx(result.number("consistency"), abs=1e-6)
    assert float(found.isnan().double().mean()) == pytest.approx(result.number("undefined_share"), abs=1e-6)
    stable = mean_over_active((hits == after).all(2), active)
    close(stable, result["stability_per_prototype"], atol=1e-9)
    assert 100 * float(stable.nanmean()) == pytest.approx(result.number("stability"), abs=1e-4)
    kept = mean_over_active(still_active(activations, noisy, active, rule, level), active)
    close(kept, result["kept_per_prototype"], atol=1e-9)


def test_all_images_active_and_no_least_number(golden):
    v = golden("conditioned_consistency")
    everything = torch.ones_like(v.tensor("activations"), dtype=torch.bool)
    found = consistent(*part_counts(everything, v.tensor("visible"), v.tensor("hits")), 0.8, least=1)
    assert 100 * float(found.mean()) == pytest.approx(v.number("all_images_consistency"))


def test_distinct_and_complete_parts(golden):
    v = golden("nonparametric_metrics")
    for row, maps in enumerate(v.tensor("own_maps")):
        pixels, region = pooled_pixels(maps), v.tensor("masks")[row] > 0
        centres = peaks_of(pixels)
        assert torch.equal(centres, v.tensor("peak_yx")[row])
        for side in (72, 56):
            assert box_overlap(centres, side) == pytest.approx(float(v[f"mean_iou_box{side}"][row]), abs=1e-6)
        for name, level in (("thresh6", 0.6), ("thresh7", 0.7)):
            mask = united_masks(pixels, level)
            assert int((mask & region).sum()) == int(v[f"intersection_area_{name}"][row])
            assert region_overlap(mask, region) == pytest.approx(float(v[f"iou_{name}"][row]), abs=1e-6)


def test_strongest_maps_of_a_class(golden):
    """Seven prototypes a class, of which five count."""
    v = golden("nonparametric_metrics")
    for row, label in enumerate(v["labels"].tolist()):
        maps = v.tensor("other_maps")[row, 7 * label : 7 * label + 7]
        pixels = pooled_pixels(maps[strongest_of(maps.amax((1, 2)))])
        assert torch.equal(peaks_of(pixels), v.tensor("other_peak_yx")[row])
        assert box_overlap(peaks_of(pixels)) == pytest.approx(float(v["other_mean_iou_box72"][row]), abs=1e-6)
        region = v.tensor("masks")[row] > 0
        found = region_overlap(united_masks(pixels), region)
        assert found == pytest.approx(float(v["other_iou_thresh6"][row]), abs=1e-6)


def test_foreign_images(golden):
    """Ties count one half; the threshold is the fifth percentile of the known images."""
    v = golden("ood_scores")
    known = v.tensor("log_prob_in").double()
    threshold = overall_threshold(known.exp().sum(1, keepdim=True))
    assert threshold == pytest.approx(v.number("threshold"), rel=1e-6)
    for number in (1, 2):
        other = v.tensor(f"log_prob_out{number}").double()
        areas = area_under_roc(known.logsumexp(1), other.logsumexp(1)), area_under_roc(known.amax(1), other.amax(1))
        assert areas[0][0] == pytest.approx(v.number(f"auroc_{number}"), abs=1e-9)
        assert areas[1][0] == pytest.approx(v.number(f"auroc_max_{number}"), abs=1e-9)
        accepted = (other.exp().sum(1) > threshold).double().mean()
        assert float(accepted) == pytest.approx(v.number(f"fpr95_{number}"), abs=1e-9)
