"""What if the picture were otherwise: edits to the pixel, and answers that can be worked out on paper."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_models import dots, forward, linear, reasoning

from protoexplain.errors import UserError
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.explanations.evidence.what_if import FILLS, ORDER, Edit, what_if
from protoexplain.io.cache import DiskCache
from protoexplain.view.sentences import about_what_if

WEIGHTS = [[2.0, -1.0, 0.5], [1.0, 3.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)


def half():
    """The upper half of a picture."""
    return np.array([[True] * 4, [False] * 4])


def changed(before, after, usual=None, **options):
    model = linear(WEIGHTS, usual=usual)
    return what_if(forward(model, dots(**before)), forward(model, dots(**after)), **options)


class TestEdit:
    def test_every_characteristic_has_its_turn(self):
        assert sorted(ORDER) == sorted(MODIFICATIONS)

    @pytest.mark.parametrize("name", MODIFICATIONS)
    def test_one_change_is_that_of_the_characteristic(self, rgb, name):
        strength = MODIFICATIONS[name].strength
        assert np.array_equal(Edit({name: strength})(rgb), MODIFICATIONS[name](rgb, strength))

    def test_neutral_strengths_change_nothing_and_give_a_copy(self, rgb):
        edited = Edit({name: entry.neutral for name, entry in MODIFICATIONS.items()})(rgb)
        assert np.array_equal(edited, rgb)
        assert not np.shares_memory(edited, rgb)

    def test_changes_are_made_one_after_the_other(self, rgb):
        edited = Edit({"shape": 3, "saturation": 0, "texture": 5})(rgb)
        expected = rgb
        for name, strength in (("texture", 5), ("saturation", 0), ("shape", 3)):
            expected = MODIFICATIONS[name](expected, strength)
        assert np.array_equal(edited, expected)

    def test_an_area_alone_is_changed(self, rgb):
        edited = Edit({"brightness": 0}, half())(rgb)
        assert not edited[:12].any()
        assert np.array_equal(edited[12:], rgb[12:])

    @pytest.mark.parametrize("fill", FILLS)
    def test_a_blanked_area_tells_nothing_of_its_pixels(self, rgb, fill):
        edited = Edit({"brightness": 0.5}, half(), fill)(rgb)
        assert np.array_equal(edited[12:], MODIFICATIONS["brightness"](rgb, 0.5)[12:])
        assert edited[:12].std((0, 1)).max() < (25 if fill == "blur" else 1e-6)

    def test_the_mean_colour_is_that_of_the_edited_picture(self, rgb):
        edited = Edit({}, half(), "mean")(rgb)
        assert edited[0, 0].tolist() == rgb.mean((0, 1)).round().tolist()

    def test_an_empty_area_changes_nothing(self, rgb):
        assert np.array_equal(Edit({"hue": 0.3}, np.zeros((3, 3), bool))(rgb), rgb)

    def test_slow_changes_are_kept_whatever_else_changes(self, rgb, tmp_path):
        cache = DiskCache(tmp_path)
        first = Edit({"texture": 6})(rgb, cache)
        assert len(list(tmp_path.glob("??/*"))) == 1
        again = Edit({"texture": 6, "brightness": 0.5})(rgb, cache)
        assert len(list(tmp_path.glob("??/*"))) == 1
        assert np.array_equal(again, MODIFICATIONS["brightness"](first, 0.5))

    @pytest.mark.parametrize(
        ("strengths", "fill", "what"),
        [
            ({"hu": 0.1}, None, "no characteristic 'hu'"),
            ({"hue": 2}, None, "hue cannot be 2"),
            ({"brightness": float("nan")}, None, "brightness cannot be nan"),
            ({}, "black", "nothing can be blanked with 'black'"),
        ],
    )
    def test_what_cannot_be_done_is_refused(self, strengths, fill, what):
        with pytest.raises(UserError, match=what):
            Edit(strengths, half(), fill)


class TestWhatIf:
    def test_the_same_class_wins(self):
        """Wren 2 * 0.9 - 0.2 + 0.2 = 1.8 before; 2 * 0.7 - 0.1 + 0.5 = 1.8 - 0.4 + 0.1 + 0.3 after."""
        found = changed({"red": 0.9, "green": 0.2, "blue": 0.4}, {"red": 0.7, "green": 0.1, "blue": 1.0})
        assert found.rival is None
        assert found.change == pytest.approx(0.0, abs=1e-6)
        assert [(s.before.prototype, s.change) for s in found.losses] == [(0, pytest.approx(-0.4))]
        assert [s.before.prototype for s in found.gains] == [2, 1]
        assert [s.change for s in found.gains] == pytest.approx([0.3, 0.1])
        assert (found.gains[1].before.similarity, found.gains[1].after.similarity) == pytest.approx((0.2, 0.1))
        assert found.check() < 1e-6
        assert about_what_if(found).endswith("; the most important loss is prototype 0, which fell from 0.90 to 0.70.")
        assert about_what_if(found).startswith("The model still says Wren (")

    def test_another_class_wins_and_evidence_counts_against_it(self):
        found = changed({"red": 0.9}, {"green": 0.8})
        assert (found.named.before.name, found.rival.after.name) == ("Wren", "Robin")
        assert found.change == pytest.approx((-0.8 - 2.4) - (1.8 - 0.9))
        assert [s.change for s in found.losses] == pytest.approx([-3.2, -0.9])
        assert found.gains == ()
        assert about_what_if(found).startswith("The model now says Robin (")
        assert "the most important loss is prototype 1, which rose from 0.00 to 0.80." in about_what_if(found)

    def test_what_is_not_listed_is_the_remainder(self):
        found = changed({"red": 0.9}, {"green": 0.8}, rows=1)
        assert len(found.losses) == 1
        assert found.remainder == pytest.approx(-0.9)
        assert found.check() < 1e-6

    def test_nothing_changes(self):
        found = changed({"red": 0.9}, {"red": 0.9})
        assert (found.losses, found.gains, found.remainder, found.change) == ((), (), 0, 0)
        assert about_what_if(found).endswith("no prototype changes what it says.")

    def test_classes_are_the_best_of_both_pictures(self):
        found = changed({"red": 0.9}, {"green": 0.8}, top_classes=1)
        assert [entry.before.name for entry in found.classes] == ["Wren", "Robin"]
        assert found.classes[0].change == pytest.approx(found.named.after.probability - found.named.before.probability)

    @given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
    def test_absence_counts_too_and_all_adds_up(self, values):
        model = reasoning([[0.5, 0.1, 0.2], [0.1, 0.3, 0.2]], [[0.1, 0.4, 0.3], [0.3, 0.2, 0.3]])
        before, after = (dots(*some) for some in (values[:3], values[3:]))
        found = what_if(forward(model, before), forward(model, after), rows=1)
        scores = [torch.stack([forward(model, one).scores]).squeeze(0) for one in (before, after)]
        named = int(scores[0].argmax())
        assert found.named.before.label == named
        assert found.check() < 1e-5
        if found.rival is None:
            assert found.change == pytest.approx(float(scores[1][named] - scores[0][named]), abs=1e-5)

    def test_changes_against_the_usual_image_are_those_of_the_score_relative_to_the_average_class(self):
        """Wren gains -0.2 x 1 - 0.1 x -5/3 + 0.6 x 1/3."""
        sides = {"red": 0.9, "green": 0.2, "blue": 0.4}, {"red": 0.7, "green": 0.1, "blue": 1.0}
        found = changed(*sides, usual=[0.5, 0.5, 0.1])
        assert found.change == pytest.approx(-0.2 + 0.5 / 3 + 0.2)
        assert [s.change for s in found.losses] == pytest.approx([-0.2])
        assert [s.change for s in found.gains] == pytest.approx([0.2, 0.5 / 3])
        assert found.check() < 1e-6
        plain = changed(*sides)
        assert [entry.after.probability for entry in found.classes] == [
            entry.after.probability for entry in plain.classes
        ]

    def test_json(self):
        content = json.loads(json.dumps(changed({"red": 0.9}, {"green": 0.8}).to_dict()))
        assert content["rival"]["after"]["name"] == "Robin"
        assert content["additive_error"] < 1e-6
