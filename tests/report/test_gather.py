"""What a report holds: the same for every family, and nothing that was not measured."""

import dataclasses
import json
import math
from contextlib import suppress

import pytest
from fuzzing import fuzz, many, replaced
from hypothesis import given

from protoexplain.checkpoint.checkpoint import add_metrics
from protoexplain.data.dataset_view import view_of
from protoexplain.errors import UserError
from protoexplain.explanations.characteristics.calibration import StrengthCalibration
from protoexplain.explanations.characteristics.table import Characteristics, ScoreTable
from protoexplain.explanations.explainer import Explainer
from protoexplain.metrics.base import MetricResult, Score
from protoexplain.models.registry import family_names
from protoexplain.progress import Silent
from protoexplain.report.formats import render
from protoexplain.report.gallery import SEVERAL, gallery
from protoexplain.report.gather import ReportImage, ReportOptions, gather, report_images
from protoexplain.report.html import page
from protoexplain.report.measured import accuracy, interval, measures, prototype_words
from protoexplain.report.prototype_pictures import InlinePrototypePictures
from protoexplain.report.report import SECTIONS
from protoexplain.training.checkpoint_ops import reproject


@pytest.mark.parametrize("family", family_names())
class TestEveryFamily:
    def test_all_sections(self, reports, explainers, family):
        report, checkpoint = reports(family), explainers(family).checkpoint
        assert list(report.sections) == list(SECTIONS)
        assert report.model.classes == checkpoint.classes
        assert report.prototypes.shown == report.prototypes.total == len(checkpoint.prototypes)
        assert report.reproduce.weights_sha256 == checkpoint.weights_sha256
        assert report.reproduce.data_fingerprint == checkpoint.data.fingerprint
        assert report.metrics == ()
        assert len(report.opening) == 3
        assert all(sentence.endswith(".") and sentence.count(". ") == 0 for sentence in report.opening)

    def test_pictures_are_explained(self, reports, images, test_paths, family):
        report = reports(family)
        assert [case.name for case in report.images] == [path.name for path in test_paths]
        known = {record.path: images.classes[record.label] for record in images.records}
        for case, path in zip(report.images, test_paths, strict=True):
            assert case.truth == known[path]
            assert case.explanation.check() < 1e-4
            assert sum(dataclasses.astuple(case.total)[:4]) == pytest.approx(case.total.score, abs=1e-4)
            rows = [row for rows in case.lists for row in rows.rows]
            assert [row.number for row in rows] == list(range(1, len(rows) + 1))
            assert max(row.share for row in rows) == pytest.approx(1)
            numbered = sorted(int(number) for box in case.picture.boxes if box.text for number in box.text.split(", "))
            assert numbered == [row.number for row in rows if row.part]
            places = [(box.left, box.top, box.width, box.height) for box in case.picture.boxes if box.text]
            assert len(set(places)) == len(places)

    def test_lists_say_what_their_rows_do(self, reports, family):
        for case in reports(family).images:
            for rows in case.lists:
                sign = 1 if rows.kind in ("for", "missing") else -1
                assert all(sign * row.evidence > 0 for row in rows.rows)
                found = rows.kind in ("for", "against", "unwanted")
                assert all((row.part is not None) == (row.heat is not None) == found for row in rows.rows)


def test_absence_speaks_in_components(reports):
    kinds = {rows.kind for case in reports("cbc").images for rows in case.lists}
    assert "missing" in kinds
    assert kinds & {"unwanted", "lacking"}
    assert {rows.kind for case in reports("protopnet").images for rows in case.lists} <= {"for", "against"}


class TestWanted:
    def test_only_some_sections(self, explainers):
        report = gather(explainers("protopnet"), options=ReportOptions(("reproduce", "model")))
        assert list(report.sections) == ["model", "reproduce"]
        assert report.prototypes is report.images is report.accuracy is report.metrics is None

    @pytest.mark.parametrize(("names", "fix"), [(("modle",), "did you mean 'model'"), ((), "choose some of")])
    def test_other_sections(self, explainers, names, fix):
        with pytest.raises(UserError) as caught:
            gather(explainers("protopnet"), options=ReportOptions(names))
        assert fix in caught.value.fix

    def test_bad_pictures_are_named(self, explainers, test_paths, tmp_path):
        poem = tmp_path / "poem.jpg"
        poem.write_text("Roses are red")
        told = []
        report = gather(
            explainers("protopnet"),
            [ReportImage(poem), ReportImage(test_paths[0])],
            ReportOptions(("images",)),
            lambda *step: told.append(step),
        )
        assert [entry.name for entry in report.refused] == ["poem.jpg"]
        assert "text" in report.refused[0].reason
        assert [case.name for case in report.images] == [test_paths[0].name]
        assert told == [("explaining pictures", 1, 2), ("explaining pictures", 2, 2)]
        with pytest.raises(UserError, match=r"poem\.jpg"):
            gather(explainers("protopnet"), [ReportImage(poem)])

    def test_pictures_outside_of_the_data_set_have_no_truth(self, explainers, images, picture, tmp_path):
        path = picture(tmp_path / "mine.png")
        (given,) = report_images([path], view_of(explainers("protopnet").checkpoint, images.root))
        assert given == ReportImage(path, "mine.png")


class TestMeasured:
    def test_interval_is_that_of_wilson(self):
        share, n, z = 0.9, 40, 1.959964
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        assert interval(share, n) == pytest.approx((middle - half, middle + half), abs=1e-4)
        assert interval(1.0, 5)[1] == pytest.approx(1)

    def test_metrics_and_words(self, checkpoint_copy):
        total = len(checkpoint_copy.prototypes)
        details = {"part_of_prototype": ["beak", *[None] * (total - 1)], "frequency_of_part": [0.75] * total}
        score = Score(40.0, 35.0, 45.0, total, "prototypes", baselines={"centre peak": 60.0}, details=details)
        result = MetricResult("consistency", "Consistency", "High is good.", "%", True, score, {})
        broken = dataclasses.replace(score, value=math.nan, low=None, high=None, baselines={})
        unknown = MetricResult("of_a_stranger", "Of a stranger", "Low is good.", "", False, broken, {})
        measured = {"consistency": result.to_dict(), "of_a_stranger": unknown.to_dict()}
        add_metrics(checkpoint_copy.path, {"interpretability": measured})
        report = gather(Explainer(checkpoint_copy.path), options=ReportOptions(("metrics", "prototypes")))
        consistency, stranger = report.metrics
        assert (consistency.value, consistency.low, consistency.better) == (40.0, 35.0, "higher")
        assert consistency.not_beaten == ("centre peak",)
        assert (consistency.least, consistency.greatest) == (0, 100)
        assert (stranger.value, stranger.least, stranger.better) == (None, None, "lower")
        cards = {card.index: card for section in report.prototypes.sections for card in section.cards}
        assert cards[0].words == ("Looks at the beak in 75% of the test pictures of its class that show it.",)
        assert cards[1].words == ()

    def test_characteristics(self, checkpoint_copy, images):
        from protoexplain.explanations.characteristics.measurement import CharacteristicsMeasurement
        from protoexplain.explanations.characteristics.words import about_prototype, prototype_findings

        explainer = Explainer(checkpoint_copy)
        measurement = CharacteristicsMeasurement(
            explainer.model, checkpoint_copy.weights_sha256, "box", 64, lambda *step: None
        )
        found = measurement.run(images.split("train"), "train", images.fingerprint())
        add_metrics(checkpoint_copy.path, found.to_metrics())
        report = gather(Explainer(checkpoint_copy.path), options=ReportOptions(("prototypes",)))
        for section in report.prototypes.sections:
            for card in section.cards:
                told = (about_prototype(found, card.index, "it"),) if prototype_findings(found, card.index) else ()
                assert card.words == told
        assert any(card.words for section in report.prototypes.sections for card in section.cards)

    @pytest.mark.parametrize("table", [{"interpretability": [1]}, {"characteristics": {"train": {"x": 1}}}])
    def test_damaged_tables(self, checkpoint_copy, table):
        add_metrics(checkpoint_copy.path, table)
        with pytest.raises(UserError):
            gather(Explainer(checkpoint_copy.path))

    @fuzz
    def test_mutated_tables(self, reports, explainers):
        """Whatever was measured is written out as HTML and JSON, or is an error for the user."""
        checkpoint = explainers("protopnet").checkpoint
        total = len(checkpoint.prototypes)
        details = {"part_of_prototype": ["beak"] * total, "frequency_of_part": [0.75] * total}
        score = Score(40.0, 35.0, 45.0, total, "prototypes", baselines={"centre peak": 60.0}, details=details)
        result = MetricResult("consistency", "Consistency", "High is good.", "%", True, score, {"draws": 3})
        rows, ones = ((0.5, -0.5),) * total, (1.0,) * total
        table = ScoreTable(rows, ((0.3, -0.7),) * total, ((0.7, -0.3),) * total)
        names = ("hue", "shape")
        scale = StrengthCalibration(dict.fromkeys(names, 1.0), dict.fromkeys(names, 0.1), (0.1,) * total)
        found = Characteristics("train", "0" * 64, 24, names, scale, table, table, ones, (6,) * total, 0.95, 100)
        measured = {
            "test_accuracy": 0.5,
            "interpretability": {"consistency": result.to_dict()},
            **found.to_metrics(),
        }
        empty = dataclasses.replace(reports("protopnet"), images=None, prototypes=None)

        @many
        @given(replaced(measured))
        def survives(metrics):
            changed = dataclasses.replace(checkpoint, metrics=metrics)
            with suppress(UserError):
                assert len(prototype_words(changed)) == total
                report = dataclasses.replace(empty, accuracy=accuracy(changed), metrics=measures(changed))
                assert render(report, ".html")
                assert json.loads(render(report, ".json"))["metrics"] is not None

        survives()


class TestGallery:
    def test_of_many_prototypes_some_of_every_class(self, explainers):
        explainer = explainers("protopnet")
        checkpoint = explainer.checkpoint
        words = [()] * len(checkpoint.prototypes)
        last = checkpoint.prototypes[-1].index
        found = gallery(explainer, InlinePrototypePictures(explainer.pictures, {}), words, [last], most=5)
        shown = [card.index for section in found.sections for card in section.cards]
        assert (found.shown, found.total, len(shown)) == (5, len(words), 5)
        assert last in shown
        assert [section.heading for section in found.sections] == list(checkpoint.classes)
        assert shown == sorted(shown)

    def test_weights_are_the_models(self, reports, explainers):
        for family in ("protopnet", "cbc"):
            weights = explainers(family).model.class_weights().detach()
            names = explainers(family).checkpoint.classes
            for section in reports(family).prototypes.sections:
                for card in section.cards:
                    assert all(
                        w.value == pytest.approx(float(weights[names.index(w.name), card.index])) for w in card.weights
                    )
                    assert (card.owner is None) == (section.heading == "")
                    if card.owner is None:
                        assert card.weights[0].value == pytest.approx(float(weights[:, card.index].max()))

    def test_what_several_classes_share(self, explainers, planted, tmp_path):
        parent = explainers("protopnet").checkpoint
        for level in (0.7, 0.5, 0.3, 0.1):
            made = reproject(parent.path, planted, tmp_path / f"{level}", Silent(), "", 0, merge=level).checkpoint
            several = [record.index for record in made.prototypes if record.classes]
            if several:
                break
        assert several
        report = gather(Explainer(made.path), ())
        assert report.model.of_several == len(several)
        (section,) = (one for one in report.prototypes.sections if one.heading == SEVERAL)
        assert [card.index for card in section.cards] == several
        assert all(" and " in str(card.owner) for card in section.cards)
        assert "shared by several classes" in page(report)

    def test_whole_training_pictures(self, explainers, images, picture, tmp_path):
        explainer = explainers("protopnet")
        record = next(r for r in explainer.pictures.records() if r.box)
        pictures = InlinePrototypePictures(explainer.pictures, {r.id: r.path for r in images.records})
        (box,) = pictures.source(record.index).boxes
        width, height = record.source_size
        assert (box.left, box.top) == pytest.approx((100 * record.box[0] / width, 100 * record.box[1] / height))
        assert box.width == pytest.approx(100 * (record.box[2] - record.box[0]) / width)
        inside = InlinePrototypePictures(explainer.pictures, {}).source(record.index)
        other = picture(tmp_path / "other.png", size=(41, 31))
        assert InlinePrototypePictures(explainer.pictures, {record.image_id: other}).source(record.index) == inside
        (tmp_path / "gone.png").write_bytes(b"no picture")
        gone = InlinePrototypePictures(explainer.pictures, {record.image_id: tmp_path / "gone.png"})
        assert gone.source(record.index) == inside
