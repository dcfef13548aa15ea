"""Rows that carry the lead: against a slow loop, on leads whose rows are known, and from the evidence of models."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.observed import observe, score_of
from tiny_runs import tiny_config, tiny_model

from protoexplain.metrics.observe.model_description import describe_model
from protoexplain.metrics.observe.passes import Chunk, LeadContributions
from protoexplain.metrics.scores.compactness import METRIC as COMPACTNESS
from protoexplain.metrics.scores.compactness import medians, rows_to_carry
from protoexplain.models.registry import family_names

LABELS = (0, 0, 1, 1, 2, 3)


def slow_rows(contributions, lead, share):
    ordered = sorted(contributions, key=abs, reverse=True)
    for count in range(1, len(ordered) + 1):
        further = [abs(sum(ordered[later:])) for later in range(count, len(ordered))]
        if all(rest <= (1 - share + 1e-6) * lead for rest in further):
            return count
    return None


@given(seed=st.integers(0, 1000), share=st.floats(0.05, 1))
@settings(max_examples=30, deadline=None)
def test_rows_equal_a_slow_loop(seed, share):
    rng = np.random.default_rng(seed)
    contributions, lead = rng.normal(0.2, 1, (8, 7)), rng.uniform(0.1, 6, 8)
    found = rows_to_carry(torch.from_numpy(contributions), torch.from_numpy(lead), share)
    assert found.tolist() == [slow_rows(row, one, share) for row, one in zip(contributions, lead, strict=True)]


def test_known_leads():
    contributions = torch.tensor(
        [
            [0.25, 0.25, 0.25, 0.25],  # four equal rows
            [0.05, 0.9, 0.0, 0.05],  # one row that does it
            [0.5, 0.45, 0.3, -0.25],  # a row that speaks for the runner-up
            [0.4, 0.2, 0.0, 0.0],  # a constant carries the rest
            [0.2, 0.1, 0.0, 0.0],  # no lead
        ]
    )
    lead = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])
    found = rows_to_carry(contributions, lead, 0.9)
    assert found[:4].tolist() == [4, 1, 4, 2]
    assert found[4].isnan()


def test_score_of_known_rows():
    """Five images with 1, 1, 3, 11 (of 12 equal ones) rows and one tie."""
    observed = observe(LABELS[:5])
    contributions = torch.zeros(5, 12)
    contributions[:2, 4] = 1
    contributions[2, :3] = 1 / 3
    contributions[3] = 1 / 12
    observed.columns["lead"] = {"lead": torch.tensor([1.0, 1, 1, 1, 0]), "contributions": contributions}
    score = score_of(COMPACTNESS, observed)
    assert score.value == 2
    assert score.n_used == 4
    assert score.details["rows"] == (1, 1, 3, 11, None)
    assert score.excluded == {"images whose best two classes have the same score": 1}
    assert score.baselines == {"equal rows": 11}
    assert score.low == 1
    assert score.high == 11


def test_what_speaks_for_the_runner_up_cannot_make_an_explanation_short():
    """Six rows for the answer and five against it make the lead of one row; all eleven of them carry it."""
    observed = observe(LABELS)
    contributions = torch.tensor([[1.0] * 6 + [-1.0] * 5 + [0.0]]).expand(6, -1)
    observed.columns["lead"] = {"lead": torch.ones(6), "contributions": contributions}
    score = score_of(COMPACTNESS, observed)
    assert score.value == 11
    assert score.details["rows_for_all_in_favour"] == 6
    assert score.details["all_in_favour_per_lead"] == 6


@given(seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_medians_of_counts(seed):
    rng = np.random.default_rng(seed)
    rows = [rng.integers(0, 6, rng.integers(1, 9)).astype(float) for _ in range(3)]
    values = np.unique(np.concatenate(rows))
    counts = np.array([[(row == value).sum() for value in values] for row in rows], dtype=float)
    assert medians(counts, values).tolist() == [np.median(row) for row in rows]
    assert np.isnan(medians(np.zeros((1, 2)), np.arange(2.0)))


@pytest.mark.parametrize("family", family_names())
@torch.no_grad()
def test_contributions_are_the_evidence_for_one_class_against_the_other(family):
    """With the constants of both classes they add up to the lead."""
    model = tiny_model(tiny_config(family))
    images = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    chunk = Chunk(model, describe_model(model, tuple("abcd"), 64, 3), images, torch.zeros(6).long(), [], [])
    found = LeadContributions()(chunk)
    two = chunk.output.logits.topk(2)
    torch.testing.assert_close(found["lead"], two.values[:, 0] - two.values[:, 1])
    for image in range(6):
        classes = two.indices[image]
        evidence = model.evidence(chunk.output.activations[image : image + 1], classes)
        parts = (evidence.presence + evidence.absence)[0]
        torch.testing.assert_close(found["contributions"][image], parts[:, 0] - parts[:, 1])
        constant = evidence.bias[0] - evidence.bias[1]
        total = found["contributions"][image].sum() + constant
        torch.testing.assert_close(total, found["lead"][image], atol=1e-4, rtol=1e-3)
