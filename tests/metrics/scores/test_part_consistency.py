"""Part consistency against a loop written from its definition, and on peaks whose worth is known."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.observed import SIZE, observe, score_of

from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.records import ImageRecord
from protoexplain.metrics.observe.parts import merged_sides, read_parts
from protoexplain.metrics.scores.consistency import METRIC as CONSISTENCY
from protoexplain.metrics.scores.part_consistency import METRIC as PART_CONSISTENCY
from protoexplain.metrics.scores.part_consistency import NO_PART

LABELS = (0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3)
MERGED = {"beak": (0,), "eye": (1, 2), "tail": (3,), "crown": (4,)}
"""Of the parts of `observed`."""


def slow_part_consistency(observed, half_window, whole):
    flags = []
    for prototype in range(observed.description.num_prototypes):
        hits, shows = dict.fromkeys(MERGED, 0), dict.fromkeys(MERGED, 0)
        looked = 0
        for image, label in enumerate(observed.labels.tolist()):
            for slot, owner in enumerate(observed.description.assigned[label].tolist()):
                if owner != prototype:
                    continue
                looked += 1
                y, x = observed.peaks[image, slot].tolist()
                across, down = observed.parts.stretch[image].tolist()
                for name, sides in MERGED.items():
                    visible = [side for side in sides if observed.parts.visible[image, side]]
                    shows[name] += bool(visible)
                    spots = [observed.parts.pixels[image, side].tolist() for side in visible]
                    hits[name] += any(
                        0 <= px <= SIZE
                        and 0 <= py <= SIZE
                        and max(abs(px - x) * across, abs(py - y) * down) <= half_window
                        for px, py in spots
                    )
        if looked:
            shares = [Fraction(hits[name], max(1, shows[name])) for name in MERGED if name not in whole]
            flags.append(max(shares) >= Fraction(4, 5))
    return 100 * sum(flags) / len(flags)


@pytest.mark.parametrize("shared", [False, True])
@given(seed=st.integers(0, 1000), half_window=st.integers(0, 40))
@settings(max_examples=8, deadline=None)
def test_score_equals_a_slow_loop(shared, seed, half_window):
    observed = observe(LABELS, shared, seed)
    for whole in ((), ("crown", "beak")):
        score = score_of(PART_CONSISTENCY, observed, window_share=half_window / SIZE, whole=whole)
        assert score.value == pytest.approx(slow_part_consistency(observed, half_window, whole), abs=1e-9)
        assert score.details["parts"] == [name for name in MERGED if name not in whole]


def birds(count=12, crop=None, offset=0.0):
    """Parts of birds in boxes of 60 pixels: a body in the middle, eyes that swap their places, other parts around."""
    generator = torch.Generator().manual_seed(0)
    records = []
    for number in range(count):
        left, right = ((10.0, 12.0), (50.0, 12.0)) if number % 2 else ((50.0, 12.0), (10.0, 12.0))
        around = torch.randint(0, 60, (2,), generator=generator).tolist()
        parts = {"body": (30.0, 30.0), "eye01": left, "eye02": right, "tail": (float(around[0]), float(around[1]))}
        moved = {name: (x + offset, y + offset) for name, (x, y) in parts.items()}
        box = Box(offset, offset, offset + 60, offset + 60)
        records.append(ImageRecord(f"{number}.jpg", None, 0, "test", box, moved))
    geometries = [Geometry(crop or record.box, SIZE) for record in records]
    return records, read_parts(records, geometries, ("body", "eye01", "eye02", "tail"), SIZE)


def watched(parts, peaks):
    """One class whose prototypes look at the same peaks (y, x) [N,2]."""
    observed = observe([0] * len(peaks), classes=1)
    peaks = peaks[:, None].expand(-1, observed.peaks.shape[1], -1)
    return replace(observed, parts=parts, columns={**observed.columns, "peaks": {"peaks": peaks}})


def test_the_middle_scores_nothing_where_only_the_whole_object_is_there():
    """Published consistency gives the middle everything, for the body alone."""
    _, parts = birds()
    observed = watched(parts, torch.full((12, 2), SIZE // 2))
    assert score_of(CONSISTENCY, observed).value == 100
    score = score_of(PART_CONSISTENCY, observed, window_share=12 / SIZE)
    assert score.value == 0
    assert score.baselines["centre peak"] == 0
    assert score_of(CONSISTENCY, observed).baselines["centre peak"] == 100
    assert score.details["parts"] == ["eye", "tail"]


def test_a_prototype_of_eyes_needs_not_tell_left_from_right():
    """It always looks at the eye that is left in the picture, which is the bird's left one every second time."""
    _, parts = birds()
    observed = watched(parts, torch.tensor([[12 * SIZE // 60, 10 * SIZE // 60]]).expand(12, -1))
    assert score_of(CONSISTENCY, observed, threshold=0.6).value == 0
    assert score_of(PART_CONSISTENCY, observed, window_share=4 / SIZE).value == 100
    assert set(score_of(PART_CONSISTENCY, observed).details["part_of_prototype"]) == {"eye"}


@pytest.mark.parametrize(("distance", "score"), [(8, 100), (12, 0)])
def test_the_window_is_a_share_of_the_object_whether_images_are_cut_or_not(distance, score):
    """A peak beside the tail, in pixels of an input cut to the object, window 10; the image is 4 times as wide."""
    _, cut = birds()
    _, whole = birds(crop=Box(0, 0, 240, 240), offset=90.0)
    for parts, stretch in ((cut, 1), (whole, 4)):
        assert parts.stretch.tolist() == [[stretch] * 2] * 12
        peaks = parts.pixels[:, 3].flip(1) + torch.tensor([0, distance // stretch])
        own = {"window_share": 10 / SIZE, "whole": ("body", "eye")}
        assert score_of(PART_CONSISTENCY, watched(parts, peaks), **own).value == score


def test_sides_of_boxes_are_taken_within_the_crop():
    box = Box(10.7, 20.2, 50.9, 99.0)
    record = ImageRecord("a.jpg", None, 0, "test", box, {"beak": (20.0, 30.0)})
    bare = replace(record, box=None)
    outside = replace(record, box=Box(200, 200, 300, 300))
    crops = [Geometry(Box(0, 0, 80, 60), 64), Geometry.of((80, 60), box, 64)]
    assert read_parts([record, record], crops, ("beak",), 64).stretch.tolist() == [[2.0, 1.5], [1.0, 1.0]]
    assert read_parts([bare, outside], [crops[0]] * 2, ("beak",), 64).stretch.tolist() == [[1.0, 1.0]] * 2


def test_without_a_part_that_tells_there_is_no_number():
    observed = observe(LABELS)
    score = score_of(PART_CONSISTENCY, observed, whole=tuple(MERGED))
    assert score.value != score.value
    assert score.n_used == 0
    assert score.excluded == {NO_PART: observed.description.num_prototypes}


def test_numbers_are_sides_only_where_there_are_two():
    names = ("part1", "part2", "part3", "part12", "wing_right", "wing_left", "Left foot", "eye 1", "eye 2", "1", "2")
    merged, which = merged_sides(names)
    assert merged == ("part1", "part2", "part3", "part12", "wing", "foot", "eye", "1", "2")
    assert which.tolist() == [0, 1, 2, 3, 4, 4, 5, 6, 6, 7, 8]
