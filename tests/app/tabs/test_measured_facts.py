"""What measurements say of one prototype; nothing in them is trusted."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from markupsafe import escape

from protoexplain.explanations.characteristics.calibration import StrengthCalibration
from protoexplain.explanations.characteristics.global_scores import Estimates
from protoexplain.explanations.characteristics.table import Characteristics, ScoreTable
from protoexplain.explanations.characteristics.words import about_prototype
from protoexplain.metrics.runner import measure
from protoexplain_app.tabs.explain.actions import explain_image
from protoexplain_app.tabs.explain.view import answer
from protoexplain_app.tabs.prototypes import view as views
from protoexplain_app.tabs.prototypes.actions import Query, gallery, orders
from protoexplain_app.tabs.prototypes.details import prototype_details
from protoexplain_app.tabs.prototypes.measured_facts import measured_facts
from protoexplain_app.tabs.prototypes.measures import measures

TOTAL = 16


@pytest.fixture
def protopnet(store):
    return store.explainer("a-protopnet")


@pytest.fixture(scope="module")
def measured(made, birds):
    results = measure(made / "a-protopnet", birds, ["consistency", "stability", "redundancy"])
    return {"interpretability": {name: result.to_dict() for name, result in results.items()}}


def characteristics(names=("hue", "shape")):
    """A table in which prototype p has the scores p and -p."""
    value = torch.stack([torch.arange(TOTAL), -torch.arange(TOTAL)], 1).double()
    table = ScoreTable.of(Estimates(value, value - 0.2, value + 0.2))
    calibration = StrengthCalibration(dict.fromkeys(names, 1.0), dict.fromkeys(names, 0.1), (0.1,) * TOTAL)
    ones = (1.0,) * TOTAL
    return Characteristics(
        "train", "0" * 64, 24, names, calibration, table, table, ones, (6,) * TOTAL, 0.95, 100
    ).to_metrics()


def test_a_portrait_tells_what_the_prototype_rests_on(protopnet):
    shown = prototype_details(protopnet, 5, metrics=characteristics())
    assert shown.measured.sentence.startswith("Prototype 5 rests mainly on the hue")
    assert [(trait.title, trait.score) for trait in shown.measured.characteristics] == [
        ("The hue", 5),
        ("The shape", -5),
    ]
    page = views.details(shown, "a-protopnet", Query()) + views.figures(shown, "a-protopnet", Query())
    assert "What it looks for" in page
    assert "Prototype 5 rests mainly on the hue" in page


def test_the_gallery_is_sorted_by_each_characteristic(protopnet):
    metrics = characteristics()
    known = dict(orders(protopnet, metrics))
    assert known["Rests on the hue"] == "characteristics.hue"
    shown = gallery(protopnet, Query(sort="characteristics.shape"), metrics)
    assert [tile.index for tile in shown.tiles] == list(range(TOTAL))
    assert [tile.value for tile in shown.tiles][:2] == [0, -1]


def test_a_portrait_tells_parts_and_the_twin(protopnet, measured):
    details = measured["interpretability"]["consistency"]["details"]
    shown = prototype_details(protopnet, 3, metrics=measured)
    expected = {
        name: share
        for name, share, images in zip(
            details["parts"], details["part_frequency"][3], details["part_images"][3], strict=True
        )
        if share > 0 and images
    }
    assert dict(list(expected.items())) | {part.name: part.share for part in shown.measured.parts} == expected
    shares = [part.share for part in shown.measured.parts]
    assert shares == sorted(shares, reverse=True)
    assert shown.measured.part == details["part_of_prototype"][3]
    redundancy = measured["interpretability"]["redundancy"]["details"]
    assert shown.twin[0].index == redundancy["twin"][3]
    assert shown.twin[1] == pytest.approx(redundancy["correlation_with_twin"][3])
    assert "Which one repeats it" in views.figures(shown, "a-protopnet", Query())
    titles = [standing.measure.title for standing in shown.ranks]
    assert {"Consistency", "Stability"} <= set(titles)


def test_only_what_is_about_prototypes_can_be_sorted_by(protopnet):
    numbers = [float(i) for i in range(TOTAL)]
    entry = {
        "title": "Purity of parts",
        "unit": "%",
        "per_prototype": numbers,
        "per_image": numbers,
        "curves": [{"x": numbers, "y": numbers}],
        "settings": {"levels": numbers},
        "details": {"twin": list(range(TOTAL)), "deviation": numbers},
    }
    found = [m for m in measures(protopnet, metrics={"interpretability": {"purity": entry}}) if "." in m.key]
    assert [(m.title, m.key) for m in found] == [
        ("Purity of parts", "interpretability.purity"),
        ("Purity, deviation", "interpretability.purity.deviation"),
    ]


def test_nothing_measured_says_nothing(protopnet):
    shown = prototype_details(protopnet, 0)
    assert shown.measured == measured_facts({}, 0, TOTAL)
    assert (shown.measured.sentence, shown.measured.parts, shown.twin) == ("", (), None)


@pytest.mark.parametrize(
    "metrics",
    [
        {"characteristics": 3, "interpretability": "x"},
        {"characteristics": {"train": {"names": []}}, "interpretability": {"consistency": 3, "redundancy": {}}},
        {"interpretability": {"consistency": {"details": {"parts": ["a"], "part_frequency": [[1, 2]]}}}},
        {"interpretability": {"redundancy": {"details": {"twin": [99] * TOTAL, "correlation_with_twin": [1] * TOTAL}}}},
        {"interpretability": {"redundancy": {"details": {"twin": [1], "correlation_with_twin": [1]}}}},
    ],
)
def test_damaged_measurements_say_nothing(metrics):
    assert measured_facts(metrics, 0, TOTAL) == measured_facts({}, 0, TOTAL)


def test_hostile_measurements_are_text(protopnet):
    hostile = '"><img src=x onerror=alert(1)>'
    details = {
        "parts": [hostile],
        "part_frequency": [[0.5]] * TOTAL,
        "part_images": [[4]] * TOTAL,
        "part_of_prototype": [hostile] * TOTAL,
    }
    shown = prototype_details(protopnet, 0, metrics={"interpretability": {"consistency": {"details": details}}})
    shown = dataclasses.replace(shown, measured=dataclasses.replace(shown.measured, sentence=hostile))
    assert "<img src=x" not in views.details(shown, hostile, Query()) + views.figures(shown, hostile, Query())


def test_rows_of_an_explanation_tell_what_their_prototypes_usually_rest_on(protopnet, examples, monkeypatch):
    known = Characteristics.from_metrics(characteristics())
    monkeypatch.setitem(vars(protopnet), "known_characteristics", known)
    case = explain_image(protopnet, examples.of(protopnet.checkpoint)[0])
    assert case.of_kind("for")
    assert all(row.usually == about_prototype(known, row.prototype, "it") for row in case.of_kind("for"))
    page = answer(case, 5, "map", False, "m")
    assert all(str(escape(row.usually)) in page for row in case.of_kind("for"))
