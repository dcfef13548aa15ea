"""All prototypes and each of them: found, sorted, described; in every family."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from sample_checkpoints import sample_checkpoint

from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain.models.registry import family_names, get_family
from protoexplain_app.tabs.prototypes.actions import Query, gallery, orders
from protoexplain_app.tabs.prototypes.details import prototype_details
from protoexplain_app.tabs.prototypes.measures import measures

TINY = {"name": "test_efficientnet", "stride": 16, "weights": "none"}


@pytest.fixture
def protopnet(store):
    return store.explainer("a-protopnet")


@pytest.fixture
def cbc(store):
    return store.explainer("b-cbc")


def with_metrics(explainer, metrics):
    other = Explainer.__new__(Explainer)
    other.checkpoint = dataclasses.replace(explainer.checkpoint, metrics=metrics)
    other.model = explainer.model
    return other


def numbers(shown):
    return [tile.index for tile in shown.tiles]


def test_all_prototypes_are_shown_by_number(protopnet):
    shown = gallery(protopnet, Query())
    assert numbers(shown) == list(range(16))
    assert all(tile.picture.endswith(f"/patch/{tile.index}") for tile in shown.tiles)


@pytest.mark.parametrize(("find", "found"), [("7", [7]), ("prototype 7", [7]), ("99", []), (" ", list(range(16)))])
def test_a_number_finds_one(protopnet, find, found):
    assert numbers(gallery(protopnet, Query(find))) == found


def test_a_part_of_a_name_finds_the_class_and_the_picture(protopnet):
    name = protopnet.checkpoint.classes[2]
    shown = gallery(protopnet, Query(name.split(".")[-1].replace("_", " ").upper()))
    assert {tile.owner for tile in shown.tiles} == {name}
    image = protopnet.checkpoint.prototypes[5].image_id
    assert 5 in numbers(gallery(protopnet, Query(image.split("/")[-1])))


def test_a_class_has_its_own_prototypes_or_those_it_relies_on(protopnet, cbc):
    assert numbers(gallery(protopnet, Query(label=1))) == [4, 5, 6, 7]
    relied = numbers(gallery(cbc, Query(label=1)))
    weights = cbc.model.class_weights()[1]
    assert relied == (weights > weights.abs().mean()).nonzero()[:, 0].tolist()
    assert numbers(gallery(protopnet, Query(label=77))) == list(range(16))


def test_measures_sort_from_the_highest_and_reverse(protopnet):
    shown = gallery(protopnet, Query(sort="weight"))
    values = [tile.value for tile in shown.tiles]
    assert values == sorted(values, reverse=True)
    assert numbers(gallery(protopnet, Query(sort="weight", reverse=True))) == numbers(shown)[::-1]
    assert numbers(gallery(protopnet, Query(sort="nonsense"))) == list(range(16))


def test_weights_are_those_of_the_chosen_class(cbc):
    shown = gallery(cbc, Query(label=2, sort="weight"))
    weights = cbc.model.class_weights()[2].detach()
    assert [tile.value for tile in shown.tiles] == pytest.approx([float(weights[i]) for i in numbers(shown)])


def test_measured_values_of_any_shape_are_read(protopnet):
    purity = {"value": 0.5, "per_prototype": [0.1 * i for i in range(15)] + [None]}
    rows = [{"hue": i, "text": "x"} for i in range(16)]
    lists = {
        "interpretability": {
            "purity": {**purity, "higher_is_better": True, "unit": "%"},
            "broken": {"per_prototype": [1, 2]},
            "none": {"per_prototype": None},
        },
        "characteristics": {"shape": [float(i) for i in range(16)], "rows": rows},
    }
    explainer = with_metrics(protopnet, lists)
    found = {measure.title: measure for measure in measures(explainer)}
    assert list(found) == ["Similarity at projection", "Class weight", "Purity", "Shape", "Rows, hue"]
    assert (found["Purity"].unit, found["Purity"].higher_is_better) == ("%", True)
    assert found["Purity"].rank(14) == (1, 15)
    assert found["Purity"].rank(15) is None
    known = ["interpretability.purity", "characteristics.shape", "characteristics.rows.hue"]
    assert [key for _, key in orders(explainer)] == ["number", "class", "similarity", "weight", *known]
    by_purity = numbers(gallery(explainer, Query(sort="interpretability.purity")))
    assert by_purity == [*range(14, -1, -1), 15]
    assert numbers(gallery(explainer, Query(sort="interpretability.purity", reverse=True))) == list(range(16))


def test_similarities_are_in_the_unit_of_explanations(protopnet):
    similarity = measures(protopnet)[0]
    raw = torch.tensor([record.similarity for record in protopnet.checkpoint.prototypes])
    branch = protopnet.model.named_branches()[0][1]
    assert similarity.values == pytest.approx(branch.activation(raw).tolist())


def test_a_portrait_tells_weights_for_and_against(protopnet):
    shown = prototype_details(protopnet, 5)
    weights = protopnet.model.class_weights()[:, 5]
    assert shown.owner == protopnet.checkpoint.classes[1]
    assert [weight.value for weight in shown.weights_for] == sorted(weights[weights > 0].tolist(), reverse=True)
    assert all(weight.value < 0 for weight in shown.weights_against)
    assert max(weight.share for weight in (*shown.weights_for, *shown.weights_against)) == 1
    assert shown.patch.source.endswith("/patch/5")
    assert shown.source.region is not None


def test_a_portrait_tells_where_the_prototype_stands(protopnet):
    standing = prototype_details(protopnet, 5).ranks[1]
    values = standing.measure.values
    assert standing.place == 1 + sum(value > values[5] for value in values)
    assert standing.among == 16
    assert max(standing.heights) == 1
    assert standing.heights[standing.bar] > 0


def test_findings_come_from_records_measurements_and_masks(protopnet, examples):
    records = list(protopnet.checkpoint.prototypes)
    records[1] = dataclasses.replace(records[0], index=1, original_index=1)
    metrics = {"findings": ["a sentence", {"sentence": "2 of 16 look odd", "prototypes": [1, 4]}]}
    explainer = with_metrics(protopnet, metrics)
    explainer.checkpoint = dataclasses.replace(explainer.checkpoint, prototypes=tuple(records))
    said = " ".join(prototype_details(explainer, 1).findings)
    assert "prototype 0" in said
    assert "2 of 16 look odd" in said
    assert prototype_details(explainer, 2).findings == ()
    assert gallery(explainer, Query()).findings == ("a sentence", "2 of 16 look odd")
    images = examples.images_of(protopnet.checkpoint)
    told = [i for i in range(16) if any("background" in s for s in prototype_details(protopnet, i, images).findings)]
    assert 0 < len(told) < 16


@pytest.mark.parametrize("index", [-1, 16, 10**9])
def test_an_unknown_prototype_is_refused(protopnet, index):
    with pytest.raises(UserError, match="there is no prototype"):
        prototype_details(protopnet, index)


@pytest.mark.parametrize("family", family_names())
def test_every_family_has_a_gallery_and_neighbours(family, birds, tmp_path):
    recipe = {"family": family, "model": {"backbone": TINY, **get_family(family).tiny}}
    explainer = Explainer(sample_checkpoint(tmp_path / "made", birds, recipe, image_size=64, steps=2))
    assert len(gallery(explainer, Query(sort="similarity")).tiles) == explainer.model.num_prototypes
    shown = prototype_details(explainer, 1)
    near = [likeness for _, likeness in shown.neighbours]
    assert near == sorted(near, reverse=True)
    assert 1 not in [tile.index for tile, _ in shown.neighbours]
    branches = explainer.model.prototype_branch()
    assert {branches[tile.index] for tile, _ in shown.neighbours} == {branches[1]}
