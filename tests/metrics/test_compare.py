"""Comparing models: how units are paired, what the words say, and how tables are written."""

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from protoexplain.metrics.base import Curve, MetricResult, Score
from protoexplain.metrics.compare import MeasuredModel, compare, summary
from protoexplain.metrics.plots import metric_figure, png
from protoexplain.metrics.tables import (
    as_csv,
    as_latex,
    as_markdown,
    as_text,
    beaten_by,
    comparison_rows,
    comparison_text,
    escaped_tex,
    result_rows,
)

CLASSES = ("Wren", "Robin", "Crow")
LABELS = (0, 0, 1, 1, 2, 2)
PATCHES = tuple(("main", f"{index}.jpg", 1, index) for index in range(6))


def result(values, over, images="same", name="m", better=True, unit="", **fields):
    known = [value for value in values if value is not None]
    units = {f"per_{over[:-1]}": tuple(values)}
    score = Score(float(np.mean(known)), 0.0, 1.0, n_used=len(known), over=over, **units, **fields)
    return MetricResult(name, f"Metric {name}", "What it means.", unit, better, score, {"images": images, "seed": 0})


def model(one, labels=LABELS, patches=PATCHES, classes=CLASSES):
    return MeasuredModel({one.name: one}, labels, patches, classes)


def values(seed, shift=0.0, count=6):
    return [float(value) + shift for value in np.random.default_rng(seed).random(count)]


class TestPairing:
    def test_same_images(self):
        a, b = result(values(0, 0.3, 40), "images"), result(values(0, 0.0, 40), "images")
        (found,) = compare({"A": model(a), "B": model(b)})
        assert found.pairing == "images"
        assert (found.low, found.high) == pytest.approx((0.3, 0.3)), "the same images are hard for both"
        assert found.better == "A"
        assert found.value == pytest.approx(0.3)

    def test_other_images_are_not_paired(self):
        a, b = result(values(0, 0.3, 40), "images"), result(values(0, 0.0, 40), "images", images="others")
        (found,) = compare({"A": model(a), "B": model(b)})
        assert found.pairing == "unpaired"
        assert found.high - found.low > 0.1

    def test_same_prototypes(self):
        a, b = result(values(0, 0.2), "prototypes"), result(values(0), "prototypes")
        (found,) = compare({"A": model(a), "B": model(b)})
        assert found.pairing == "prototypes"
        assert (found.low, found.high) == pytest.approx((0.2, 0.2))

    def test_other_prototypes_of_the_same_classes(self):
        """Different numbers of prototypes too; the value is that of the scores, whatever the classes hold."""
        a = result(values(0), "prototypes")
        b = result(values(1, 0.5, 5), "prototypes")
        (found,) = compare({"A": model(a), "B": model(b, (0, 0, 0, 1, 2), PATCHES[:5])})
        assert found.pairing == "classes"
        assert found.value == pytest.approx(a.score.value - b.score.value)
        assert found.low <= found.value <= found.high

    def test_shared_prototypes_have_no_partner(self):
        shared = (-1,) * 6
        a, b = result(values(0, 2.0), "prototypes"), result(values(1), "prototypes")
        (found,) = compare({"A": model(a), "B": model(b, shared, PATCHES[::-1])})
        assert found.pairing == "unpaired"
        assert "nothing in common to pair by" in found.sentence()
        assert found.better == "A"
        both = compare({"A": model(a, shared), "B": model(b, shared)})
        assert both[0].pairing == "prototypes", "the same shared prototypes are paired one by one"

    def test_left_out_units_do_not_count(self):
        a = result([0.5, None, 0.7, 0.9], "images")
        b = result([0.1, 0.2, None, 0.3], "images")
        (found,) = compare({"A": model(a), "B": model(b)})
        assert found.value == pytest.approx(0.7 - 0.2)

    def test_scores_without_units_have_no_interval(self):
        bare = replace(result([1.0], "images"), score=Score(3.0, None, None, 5, "prototypes"))
        (found,) = compare({"A": model(bare), "B": model(bare)})
        assert (found.pairing, found.low) == ("none", None)
        assert "no interval" in found.sentence()


class TestWords:
    def test_sentences(self):
        a, b = result(values(0, 0.3, 40), "images", unit="%"), result(values(0, 0.0, 40), "images", unit="%")
        (found,) = compare({"A": model(a), "B": model(b)})
        assert found.sentence() == (
            "Metric m: A is higher than B (+0.3 points [+0.3, +0.3], paired by image); A is better."
        )
        (equal,) = compare({"A": model(a), "B": model(a)})
        assert equal.sentence().startswith("Metric m: no difference between A and B that these data show (+0 points")
        text = summary([found, equal])
        assert "A is better than B in metric m." in text
        assert "A and B are not shown to differ in metric m." in text
        assert "Of 2 intervals about 0.1 would leave 0 out by chance alone" in text
        assert summary([]) == "No metric was measured for two of the models."

    @pytest.mark.parametrize(("better", "expected"), [(True, "A"), (False, "B"), (None, None)])
    def test_direction_decides_who_is_better(self, better, expected):
        a, b = (result(values(0, shift, 40), "images", better=better) for shift in (0.3, 0))
        (found,) = compare({"A": model(a), "B": model(b)})
        assert found.better == expected
        assert found.differs

    def test_other_settings_are_reported(self):
        a, b = result(values(0), "prototypes"), result(values(1), "prototypes")
        b = replace(b, settings={**b.settings, "half_window": 36})
        a = replace(a, settings={**a.settings, "half_window": 26})
        found = compare({"A": model(a), "B": model(b)})
        assert found[0].notes == ("half_window 26 and 36",)
        text = comparison_text({"A": {"m": a}, "B": {"m": b}}, found)
        assert "measured with other settings: half_window 26 and 36" in text

    def test_all_pairs_of_three(self):
        models = {name: model(result(values(seed), "prototypes")) for seed, name in enumerate("ABC")}
        assert [(d.first, d.second) for d in compare(models)] == [("A", "B"), ("A", "C"), ("B", "C")]


class TestBaselines:
    @pytest.mark.parametrize(
        ("better", "beaten"), [(True, {"above": 0.95, "inside": 0.5}), (False, {"below": -0.5, "inside": 0.5})]
    )
    def test_scores_no_better_than_knowing_nothing(self, better, beaten):
        one = result([0.4, 0.6], "images", better=better)
        score = replace(one.score, low=0.3, high=0.7, baselines={"above": 0.95, "inside": 0.5, "below": -0.5})
        assert beaten_by(replace(one, score=score)) == beaten
        assert beaten_by(replace(one, score=score, higher_is_better=None)) == {}

    def test_text_warns(self):
        one = result([0.4, 0.6], "images", baselines={"centre peak": 0.9})
        text = as_text({"m": one})
        assert "Not better than a baseline: Metric m (centre peak 0.900)." in text
        assert "What it means." in text
        fine = result([0.4, 0.6], "images", baselines={"centre peak": -0.9})
        assert "Not better" not in as_text({"m": fine})


def test_text_tells_how_far_scores_agree():
    found = {"agreement_with_stability": {"rank_correlation": 0.625, "prototypes": 20}}
    text = as_text({"m": result([0.4, 0.6], "prototypes", details=found)})
    assert "Metric m and stability rank 20 prototypes alike: Spearman's correlation 0.62" in text
    nothing = {"agreement_with_stability": {"rank_correlation": None, "prototypes": 20}, "agreement_with_x": None}
    assert "Spearman" not in as_text({"m": result([0.4, 0.6], "prototypes", details=nothing)})


class TestTables:
    def test_formulas_in_csv_are_defused_and_numbers_kept(self):
        rows = [["=cmd()", -1], ["+a", +2.5], ["-b", None], ["@x", float("nan")], ["\tt", True], ["plain", "a,b"]]
        text = as_csv(["=head", "n"], rows)
        back = list(csv.reader(io.StringIO(text)))
        assert back[0] == ["'=head", "n"]
        assert [row[0] for row in back[1:]] == ["'=cmd()", "'+a", "'-b", "'@x", "'\tt", "plain"]
        assert [row[1] for row in back[1:]] == ["-1", "2.5", "", "", "True", "a,b"]

    def test_csv_of_results_and_of_comparisons(self):
        a, b = result([-0.4, -0.6], "images", baselines={"chance": -1.0}), result([0.1, 0.2], "images")
        table = list(csv.DictReader(io.StringIO(as_csv(*result_rows({"m": a})))))
        assert float(table[0]["value"]) == -0.5
        assert float(table[0]["chance"]) == -1
        differences = compare({"=A": model(a), "B": model(b)})
        table = list(
            csv.DictReader(io.StringIO(as_csv(*comparison_rows({"=A": {"m": a}, "B": {"m": b}}, differences))))
        )
        assert [row["model"] for row in table] == ["'=A", "B", "'=A"]
        assert table[2]["against"] == "B"
        assert float(table[2]["value"]) == pytest.approx(-0.65)

    def test_latex(self):
        assert escaped_tex(r"a_b & 50% #1 {x} ~^\ $y") == (
            r"a\_b \& 50\% \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{} \$y"
        )
        one = result([0.4, 0.6], "images", unit="%")
        text = as_latex({"my_model": {"m": one}, "other": {}})
        assert r"my\_model" in text
        assert r"Metric m (\%) $\uparrow$ & 0.5 {\scriptsize [0.0, 1.0]} & -- \\" in text
        assert text.count("&") == 2 * 2
        assert re.search(r"\\begin\{tabular\}\{lrr\}", text)

    def test_markdown(self):
        one = result([0.4, 0.6], "images", unit="%", baselines={"centre|peak": 0.9})
        lines = as_markdown({"a_b": {"m": one}, "<c>": {}}).splitlines()
        assert lines[0] == r"| metric | a\_b | &lt;c&gt; | better |"
        assert lines[1] == "| --- | ---: | ---: | --- |"
        assert lines[2] == r"| Metric m (%) | 0.5 \[0.0, 1.0\] | - | higher |"
        assert lines[3] == r"| - centre\|peak | 0.9 | - |  |"


class TestPictures:
    def test_one_and_several_models(self):
        curve = Curve("threshold", (0.1, 0.5, 0.9), (1.0, 0.5, 0.2), 0.5, {"centre peak": (0.9, 0.9, 0.9)})
        one = result(values(0), "prototypes", baselines={"centre peak": 0.9}, curves=(curve,))
        figure = metric_figure({"A $x$": one, "B": replace(one, score=replace(one.score, curves=()))})
        assert isinstance(figure, Figure)
        assert len(figure.axes) == 3
        picture = Image.open(io.BytesIO(png(figure)))
        assert picture.format == "PNG"
        assert picture.width > picture.height
        single = replace(one, score=Score(1.0, None, None, 1, "images"))
        assert len(metric_figure({"A": single}).axes) == 1
        constant = result([0.5, 0.5], "images")
        assert png(metric_figure({"A": constant}))
