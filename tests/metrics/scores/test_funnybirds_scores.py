"""The FunnyBirds protocol on models whose truth is known by construction."""

import math

import pytest
import torch
from metrics.observed import score_of
from metrics.toy_birds import BODY, NAMES, VARIANTS, ToyBirds, knows_background, knows_parts, model_of, seen

from protoexplain.errors import UserError
from protoexplain.metrics.observe.part_rules import ALL, NONE, RANDOM
from protoexplain.metrics.registry import get_metric
from protoexplain.metrics.stats.part_scores import (
    contrastivity_values,
    correctness_values,
    curves_of,
    named_parts,
)
from protoexplain.models.contract import Ownership

CHECKS = ("controlled_check", "preservation_check", "deletion_check", "distractibility")


def score(name, observed):
    return score_of(get_metric(f"funnybirds_{name}"), observed)


@pytest.fixture(scope="module")
def of_beaks():
    return seen(knows_parts(0), part_rules=("maps", "boxes", "occlusion", "map"), box_rule="share")


@pytest.fixture(scope="module")
def of_all_parts():
    return seen(knows_parts(*range(5)), part_rules=("maps", "boxes"))


@pytest.mark.parametrize("name", ["completeness", "correctness", *CHECKS])
def test_model_of_one_part_is_explained_perfectly(of_beaks, name):
    """By maps and by boxes alike; boxes of the top 5 % would be the whole picture where the part is smaller."""
    found = score(name, of_beaks)
    assert found.value == pytest.approx(1, abs=1e-9)
    for rule in ("maps", "boxes"):
        assert found.details["explanations"][rule]["value"] == pytest.approx(1, abs=1e-9)


def test_only_the_part_that_counts_gets_importance(of_beaks):
    for rule in ("maps", "boxes"):
        importance = named_parts(of_beaks, rule)["importance"]
        assert float(importance[:, 0].min()) == pytest.approx(1, abs=1e-6), "all of the evidence lies on the beak"
        assert float(importance[:, 1:].abs().max()) == pytest.approx(0, abs=1e-6)


def test_attribution_methods_stand_beside_prototypes(of_beaks):
    found = score("correctness", of_beaks).details["explanations"]
    assert list(found) == ["maps", "boxes", "occlusion", "map"]
    assert all(0 <= entry["low"] <= entry["value"] <= entry["high"] <= 1 for entry in found.values() if entry["low"])


def test_model_of_one_part_needs_no_background_and_has_no_contrast(of_beaks):
    assert score("background_independence", of_beaks).value == 1
    assert score("background_independence", of_beaks).details == {"objects": 24, "of_the_parts": pytest.approx(0.8)}
    found = score("contrastivity", of_beaks)
    assert math.isnan(found.value)
    assert found.excluded == {"images whose scores do not fall as the contrast assumes": 12}
    assert score("overall", of_beaks).value == pytest.approx(1)


def test_explanation_that_names_everything_is_distracted(of_beaks):
    curves = curves_of(of_beaks, ALL)
    assert float(curves.controlled.mean()) == float(curves.preserved.mean()) == float(curves.deleted.mean()) == 1
    assert float(curves.distracted.min()) == 1
    assert score("distractibility", of_beaks).baselines[ALL] == 0
    assert score("completeness", of_beaks).baselines[ALL] == pytest.approx(0.5)


def test_explanation_that_names_nothing(of_beaks):
    """Without parts the last class is answered, so that nothing is preserved, and nothing deleted."""
    found = {name: score(name, of_beaks).baselines[NONE] for name in CHECKS}
    assert found == {"controlled_check": 0, "preservation_check": 0, "deletion_check": 0, "distractibility": 1}


def test_random_explanation_scores_as_chance():
    observed = seen(knows_parts(0), images=10, part_rules=("maps",))
    assert score("correctness", observed).baselines[RANDOM] == pytest.approx(0.5, abs=0.1)
    assert score("completeness", observed).baselines[RANDOM] < 0.75


def test_contrast_of_a_model_that_knows_all_parts(of_all_parts):
    """Class 0 shares eye and foot with class 1, tail and wing with class 2; class 3 has no such pair."""
    values = contrastivity_values(of_all_parts, "maps")
    assert values[:3].tolist() == [1, 1, 1]
    assert score("contrastivity", of_all_parts).value == 1
    chance = contrastivity_values(seen(knows_parts(*range(5)), images=10, part_rules=("maps",)), RANDOM)
    assert float(chance.nanmean()) == pytest.approx(0.5, abs=0.15)


def test_all_parts_count_the_same(of_all_parts):
    """No ranks to compare, nothing that distracts but the objects, and every sufficient set is named."""
    assert bool(correctness_values(of_all_parts, "maps").isnan().all())
    assert score("controlled_check", of_all_parts).value == 1
    assert score("distractibility", of_all_parts).value == 1
    assert score("background_independence", of_all_parts).value == 1


def test_model_of_the_background_fails_background_independence():
    """One of the two objects decides; no part does."""
    observed = seen(knows_background(), part_rules=("maps",))
    assert score("background_independence", observed).value == 0.5
    assert score("background_independence", observed).details["of_the_parts"] == 1
    assert bool(named_parts(observed, "maps")["named"][:, 0, 5].all()), "the explanation says that the object decides"
    assert not bool(named_parts(observed, "maps")["named"][:, :, :5].any())
    assert score("deletion_check", observed).value == 0


def test_images_that_are_not_at_hand_are_left_out():
    class WithoutPairs(ToyBirds):
        def image(self, record, removal):
            missing = record.label == 0 and removal.parts.bit_count() not in (0, 1)
            return None if missing else super().image(record, removal)

    observed = seen(knows_parts(0), source=WithoutPairs(), part_rules=("maps",))
    assert score("preservation_check", observed).excluded == {"images without a picture of these parts alone": 3}
    assert score("deletion_check", observed).excluded == {}
    assert score("completeness", observed).value == pytest.approx(1)


def test_changed_images_are_drawn_once():
    source = ToyBirds()
    seen(knows_parts(0), images=1, source=source, part_rules=("maps", "boxes"))
    assert source.drawn <= 4 * (2 ** len(NAMES) + 2), "each of the images and each of the changes once"


@pytest.mark.parametrize("rule", ["complete-repository", "ssm", "ssm-attribution", "protosvit"])
def test_published_rules_can_be_chosen(rule):
    observed = seen(knows_parts(0), images=1, part_rules=(rule,), published_parts=True)
    assert 0 <= score("completeness", observed).value <= 1
    assert torch.equal(named_parts(observed, rule)["importance"][:, :5].argmax(1), torch.zeros(4, dtype=torch.long))


@pytest.mark.parametrize("rule", ["boxes", "complete-repository", "ssm", "ssm-attribution"])
def test_class_without_prototypes_names_nothing(rule):
    """All prototypes are those of class 0."""
    only_first = Ownership.of_labels(torch.zeros(BODY + 1, dtype=torch.long), len(VARIANTS))
    model = model_of(torch.ones(len(VARIANTS), BODY + 1), only_first)
    columns = named_parts(seen(model, images=1, part_rules=(rule,)), rule)
    assert not bool(columns["named"][1:].any())
    assert float(columns["importance"][1:].abs().max()) == 0


def test_unknown_rule_is_told():
    with pytest.raises(UserError, match="unknown rule for parts 'mapps'") as caught:
        seen(knows_parts(0), images=1, part_rules=("mapps",))
    assert "maps" in caught.value.fix
