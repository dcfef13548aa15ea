"""What the tab 'Explain' is told about a picture."""

from __future__ import annotations

import base64
import dataclasses
import io
import shutil

import numpy as np
import pytest
from PIL import Image

from protoexplain.errors import UserError
from protoexplain.explanations.characteristics.calibration import StrengthCalibration
from protoexplain.explanations.characteristics.table import Characteristics, ScoreTable
from protoexplain.explanations.characteristics.words import Verdict
from protoexplain.explanations.evidence.occlusion_test import RANDOM_BOXES
from protoexplain.regions.boxes import upsample
from protoexplain.view.image_pictures import LAYER_SIDE
from protoexplain.view.pictures import HAZE, heat_layer
from protoexplain_app.input_image import InputImage, run_model
from protoexplain_app.library import Choice
from protoexplain_app.tabs.explain import view as views
from protoexplain_app.tabs.explain.actions import explain_image, occlusion_tests
from protoexplain_app.tabs.explain.box_tests import DueTests, Explained


@pytest.fixture
def protopnet(store):
    return store.explainer("a-protopnet")


@pytest.fixture
def input_image(examples, protopnet):
    return examples.of(protopnet.checkpoint)[0]


def test_the_best_class_is_explained_and_its_score_adds_up(protopnet, input_image):
    case = explain_image(protopnet, input_image, rows=5)
    assert case.rank == 1
    assert case.shown.label == case.best.label
    assert sum(entry.probability for entry in case.predictions) == pytest.approx(1, abs=1e-5)
    rows = [*case.of_kind("for"), *case.of_kind("against")]
    assert 1 <= len(rows) <= 5
    assert case.of_kind("missing") == ()
    assert sum(row.evidence for row in rows) == pytest.approx(case.total.found, abs=1e-5)
    total = case.total
    assert total.found + total.missing + total.rest + total.bias == pytest.approx(total.score, abs=1e-4)
    assert max(row.share for row in rows) == 1


@pytest.mark.parametrize("name", ["a-protopnet", "b-cbc"])
def test_the_lead_over_the_next_class_is_the_rows_and_the_rest(store, examples, name):
    explainer = store.explainer(name)
    image = examples.of(explainer.checkpoint)[0]
    case = explain_image(explainer, image, rows=3)
    assert case.lead.other.label == case.predictions[1].label
    assert list(case.lead.parts) == [row.prototype for row in case.adding]
    assert len({row.prototype for row in case.adding}) == len(case.adding) >= 1
    assert case.lead.total() == pytest.approx(case.lead.difference, abs=1e-5)
    assert case.lead.difference > 0
    last = explain_image(explainer, image, label=case.predictions[-1].label)
    assert last.lead.other.label == case.best.label
    assert last.lead.difference < 0
    assert "is behind" in views.answer(last, 3, "map", False, name)


def test_a_match_far_from_the_best_ones_is_folded(protopnet, input_image):
    case = explain_image(protopnet, input_image)
    weak = [row for row in case.rows if not row.convincing]
    for row in case.of_kind("for"):
        low, high = protopnet.model.statistics.span(row.prototype)
        assert row.convincing == (row.similarity >= (low + high) / 2)
    page = views.answer(case, 5, "map", False, "m")
    assert page.count('class="card folded"') == len(weak) > 0
    assert page.count("<li class=") == len(case.rows)


def test_boxes_are_tested_against_random_ones(protopnet, input_image):
    tested = occlusion_tests(protopnet, input_image, rows=3)
    assert set(tested) == {row.prototype for row in explain_image(protopnet, input_image, rows=3).rows}
    assert all(len(test.random_falls) == RANDOM_BOXES for test in tested.values())
    page = views.box_tests(tested, 7)
    assert 'data-visit="7"' in page
    for number, test in tested.items():
        assert f'data-prototype="{number}" data-kind="{"bad" if test.warnings else "good"}"' in page


def test_boxes_are_tested_once_for_the_explanation_that_is_shown(library, protopnet, input_image):
    due = DueTests()
    assert due.run(library) is None
    due.explained = Explained(Choice("a-protopnet", input_image.key, visit=4), 2, 3)
    assert due.run(library) == (occlusion_tests(protopnet, input_image, 2, 3), 4)
    assert due.run(library) is None


def test_box_tests_end_when_the_visitor_asks_for_something_else(library, protopnet, input_image):
    due, passes = DueTests(explained=Explained(Choice("a-protopnet", input_image.key), 0, 5)), []
    run_model(protopnet, input_image)
    watch = protopnet.model.backbone.register_forward_hook(lambda *_: passes.append(due.withdraw()))
    assert due.run(library) is None
    watch.remove()
    assert len(passes) == 1


def test_rows_are_numbered_in_the_order_of_the_page_and_split_by_sign(protopnet, input_image):
    case = explain_image(protopnet, input_image, label=1, rows=10)
    rows = [*case.of_kind("for"), *case.of_kind("against")]
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert all(row.evidence > 0 for row in case.of_kind("for"))
    assert all(row.evidence < 0 for row in case.of_kind("against"))
    numbers = sorted(int(number) for mark in case.picture.marks for number in mark.text.split(", "))
    assert numbers == [row.number for row in rows]


def test_every_picture_says_what_it_shows(protopnet, input_image):
    case = explain_image(protopnet, input_image)
    for row in case.of_kind("for"):
        pictures = [row.part, row.place, row.heat, row.patch, row.source]
        drawn, kept = [row.part, row.place], pictures[3:]
        assert all(picture.alt for picture in pictures)
        assert all(picture.source.startswith("data:image/jpeg;base64,") for picture in drawn)
        assert all(picture.source.startswith("prototype/") for picture in kept)
        assert len({picture.alt for picture in pictures}) == 5
        assert row.heat.source.startswith("data:image/png;base64,")
        assert len(row.place.boxes) == 1
        assert len(row.source.boxes) == 1
        assert row.owner in row.patch.alt


def test_the_seen_region_is_the_box_of_the_data_set(protopnet, input_image):
    case = explain_image(protopnet, input_image)
    size = case.picture.width
    assert case.picture.region.left * size / 100 == pytest.approx(int(input_image.box.x0))
    assert case.picture.region.width * size / 100 == pytest.approx(int(input_image.box.x1) - int(input_image.box.x0))
    for mark in case.picture.marks:
        assert mark.left >= case.picture.region.left - 0.1
        assert mark.left + mark.width <= case.picture.region.left + case.picture.region.width + 0.1


def test_of_an_upload_the_model_sees_everything_and_no_class_is_right(protopnet, input_image):
    case = explain_image(protopnet, InputImage("", "mine.jpg", input_image.path))
    assert case.picture.region is None
    assert case.truth is None
    assert case.right is None


def test_a_frame_of_an_upload_is_what_the_model_sees(protopnet, input_image, tmp_path):
    whole = explain_image(protopnet, InputImage("", "mine.jpg", input_image.path))
    framed = explain_image(protopnet, InputImage("", "mine.jpg", input_image.path, frame=(0.25, 0.1, 0.75, 0.9)))
    assert framed.picture.region.left == pytest.approx(25)
    assert framed.picture.region.width == pytest.approx(50)
    assert framed.total.score != whole.total.score
    turned = tmp_path / "turned.jpg"
    with Image.open(input_image.path) as image:
        image.crop((0, 0, 96, 48)).save(turned, exif=_turned_right())
    seen = explain_image(protopnet, InputImage("", "turned.jpg", turned, frame=(0, 0, 1, 0.5)))
    assert (seen.picture.width, seen.picture.height) == (48, 96)
    assert seen.picture.region.height == pytest.approx(50)


def _turned_right():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_heat_maps_are_see_through_where_it_is_cold():
    heat = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    content = base64.b64decode(heat_layer(heat, "").source.partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    assert alpha[0, 0] == 0
    assert alpha[-1, -1] == 255
    flat = base64.b64decode(heat_layer(np.ones((4, 4), np.float32), "").source.partition(",")[2])
    with Image.open(io.BytesIO(flat)) as image:
        assert np.asarray(image.convert("RGBA"))[..., 3].max() == 0


def test_a_weak_match_stays_see_through():
    """On the scale of its prototype, not on its own."""
    heat = np.linspace(0, 0.3, 64, dtype=np.float32).reshape(8, 8)
    content = base64.b64decode(heat_layer(heat, "", (0.0, 1.0)).source.partition(",")[2])
    with Image.open(io.BytesIO(content)) as image:
        assert np.asarray(image.convert("RGBA"))[..., 3].max() == pytest.approx(255 * 0.3**HAZE, abs=2)


def test_rows_say_what_is_usual_and_their_heat_maps_share_its_scale(protopnet, input_image):
    case = explain_image(protopnet, input_image)
    statistics = protopnet.model.statistics
    assert case.relative
    assert sum(entry.score for entry in protopnet.explain(input_image.path).explanation.predictions) == pytest.approx(
        0, abs=1e-4
    )
    for row in (*case.of_kind("for"), *case.of_kind("against")):
        assert row.usual == pytest.approx(float(statistics.usual[row.prototype]))
    seen = run_model(protopnet, input_image)
    row = case.of_kind("for")[0]
    heat = upsample(seen.forward_pass.maps[row.prototype], LAYER_SIDE, LAYER_SIDE).numpy()
    drawn = [heat_layer(heat, "", ends).source for ends in (statistics.span(row.prototype), None)]
    assert row.heat.source == drawn[0] != drawn[1]


def test_the_verdict_compares_the_best_class_with_the_data_set(protopnet, input_image):
    case = explain_image(protopnet, input_image)
    assert case.right == (case.best.name == input_image.truth)
    other = dataclasses.replace(input_image, truth="no class of this model")
    assert explain_image(protopnet, other).right is None


def test_a_chosen_class_is_explained_at_its_place(protopnet, input_image):
    best = explain_image(protopnet, input_image)
    last = best.predictions[-1]
    case = explain_image(protopnet, input_image, label=last.label)
    assert case.rank == len(best.predictions)
    assert case.shown.label == last.label
    assert case.predictions == best.predictions


@pytest.mark.parametrize(("label", "rows"), [(99, 5), (-1, 5), (None, 4), (None, 10_000)])
def test_what_the_page_does_not_offer_is_refused(protopnet, input_image, label, rows):
    with pytest.raises(UserError):
        explain_image(protopnet, input_image, label=label, rows=rows)


def test_components_also_speak_by_absence(store, examples):
    cbc = store.explainer("b-cbc")
    case = explain_image(cbc, examples.of(cbc.checkpoint)[0], rows=5)
    assert case.by_probability
    assert case.illustrated
    assert case.of_kind("missing")
    assert all(row.part is None and row.patch is not None and row.owner is None for row in case.of_kind("missing"))
    assert sum(row.evidence for row in case.of_kind("missing")) == pytest.approx(case.total.missing, abs=1e-5)
    assert case.total.score == pytest.approx(case.shown.probability, abs=1e-5)


def test_a_loaded_model_explains_after_its_folder_vanished(store, folder, protopnet, input_image):
    shutil.rmtree(folder / "a-protopnet")
    case = explain_image(protopnet, input_image)
    assert case.of_kind("for")[0].part is not None
    assert case.of_kind("for")[0].patch is None


def test_notices_of_the_reader_are_passed_on(protopnet, input_image, tmp_path):
    Image.open(input_image.path).convert("CMYK").save(tmp_path / "print.jpg")
    case = explain_image(protopnet, InputImage("", "print.jpg", tmp_path / "print.jpg"))
    assert case.notices == ("CMYK colours were converted to RGB",)


@pytest.mark.parametrize("method", ["grad-cam", "input-x-gradient", "occlusion"])
def test_heat_maps_can_be_drawn_by_another_method(protopnet, input_image, method):
    own, other = explain_image(protopnet, input_image), explain_image(protopnet, input_image, method=method)
    assert [row.prototype for row in other.of_kind("for")] == [row.prototype for row in own.of_kind("for")]
    for mine, theirs in zip(own.of_kind("for"), other.of_kind("for"), strict=True):
        assert theirs.heat.source != mine.heat.source
        assert str(theirs.prototype) in theirs.heat.alt
        assert "raise the similarity" in theirs.heat.alt


def test_an_unknown_method_is_refused(protopnet, input_image):
    with pytest.raises(UserError, match="unknown attribution method 'grad-cem'"):
        explain_image(protopnet, input_image, method="grad-cem")


def test_each_match_says_what_it_rests_on_when_asked(protopnet, input_image):
    assert not any(row.here for row in explain_image(protopnet, input_image).of_kind("for"))
    case = explain_image(protopnet, input_image, characteristics=True)
    rows = [*case.of_kind("for"), *case.of_kind("against")]
    told = protopnet.characteristics(
        protopnet.forward(input_image.path, box=input_image.box), [row.prototype for row in rows]
    )
    assert [row.here for row in rows] == [told[row.prototype].sentence for row in rows]
    assert all(row.here for row in rows)


def test_three_chips_say_what_matters_and_the_sentence_is_behind_them(protopnet, input_image, monkeypatch):
    total = len(protopnet.checkpoint.prototypes)
    names = ("hue", "shape", "texture")
    table = ScoreTable(*(((3.0 + by, by, 0.8 + by),) * total for by in (0.0, -0.3, 0.3)))
    calibration = StrengthCalibration(dict.fromkeys(names, 1.0), dict.fromkeys(names, 0.1), (0.01,) * total)
    ones = (1.0,) * total
    known = Characteristics("train", "0" * 64, 24, names, calibration, table, table, ones, (6,) * total, 0.95, 100)
    monkeypatch.setitem(vars(protopnet), "known_characteristics", known)
    case = explain_image(protopnet, input_image)
    row = next(row for row in case.rows if row.part)
    assert row.traits == {
        Verdict.MATTERS: ("the hue",),
        Verdict.IRRELEVANT: ("the shape",),
        Verdict.OPEN: ("fine texture",),
    }
    page = views.answer(case, 5, "map", False, "m")
    chips = '<b>Matters</b> the hue</span><span class="trait irrelevant"><b>Does not matter</b> the shape</span>'
    assert page.count(chips) == sum(bool(row.part) for row in case.rows)
    assert page.index(chips) < page.index(row.usually.partition(" ")[2][:20])
