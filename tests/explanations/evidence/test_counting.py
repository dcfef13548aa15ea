"""How evidence is counted, by name; what a reader is told where it cannot be counted so."""

import pytest
import torch
from toy_models import linear, reasoning

from protoexplain.errors import UserError
from protoexplain.explanations.evidence.counting import PRODUCT, SHAPLEY, WITHOUT_STATISTICS, count_evidence
from protoexplain.models.activation_statistics import ActivationStatistics


def knowing(model):
    model.set_statistics(ActivationStatistics(torch.rand(3), torch.zeros(3), torch.ones(3)))
    return model


def test_shapley_counts_from_what_is_usual():
    model = knowing(linear(torch.eye(3).tolist()))
    assert count_evidence(model, SHAPLEY) == ()
    assert model.evidence_kind == "shapley"


def test_the_published_product_on_demand():
    model = knowing(linear(torch.eye(3).tolist()))
    assert count_evidence(model, PRODUCT) == ()
    assert model.evidence_kind == "product"
    assert not model.baseline_activations().any()
    assert model.statistics is not None, "heat maps keep their scale"


def test_old_checkpoints_fall_back_and_say_so():
    model = linear(torch.eye(3).tolist())
    assert count_evidence(model, SHAPLEY) == (WITHOUT_STATISTICS,)
    assert model.evidence_kind == "product"
    assert count_evidence(model, PRODUCT) == (), "asked for"


def test_reasoning_counts_as_published():
    model = reasoning([[0.5] * 3], [[0.5] * 3])
    assert count_evidence(model, SHAPLEY) == count_evidence(model, PRODUCT) == ()
    assert model.evidence_kind == "reasoning"


def test_other_names_are_refused():
    with pytest.raises(UserError, match="shaply") as caught:
        count_evidence(linear(torch.eye(3).tolist()), "shaply")
    assert "did you mean 'shapley'" in caught.value.fix
