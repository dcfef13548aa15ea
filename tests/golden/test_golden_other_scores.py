"""Relevance (CaBRNet), prototype sparsity (ProtoPNeXt)."""

from __future__ import annotations

import pytest
from golden_vectors import close

from protoexplain.metrics.scores.prototype_score import combined
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
