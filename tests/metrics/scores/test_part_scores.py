"""Consistency and stability against loops written from the definitions, and on planted prototypes."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.observed import SIZE, observe, score_of

from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.records import ImageRecord
from protoexplain.metrics.observe.parts import input_pixels, merged_sides, read_parts
from protoexplain.metrics.scores.consistency import METRIC as CONSISTENCY
from protoexplain.metrics.scores.purity import METRIC as PURITY
from protoexplain.metrics.scores.purity import count_parts
from protoexplain.metrics.scores.stability import METRIC as STABILITY

LABELS = (0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3)


def hit_vector(observed, image, peak, half_window):
    """The parts of one image in the window of one peak, by the published rule."""
    y, x = map(int, peak)
    y0, y1 = max(0, y - half_window), min(SIZE, y + half_window)
    x0, x1 = max(0, x - half_window), min(SIZE, x + half_window)
    hits = []
    for part in range(len(observed.parts.names)):
        px, py = observed.parts.pixels[image, part].tolist()
        hits.append(bool(observed.parts.visible[image, part]) and y0 <= py <= y1 and x0 <= px <= x1)
    return hits


def slots_of(observed, prototype):
    """(image, slot) in which a prototype is looked at."""
    return [
        (image, slot)
        for image in range(len(observed.ids))
        for slot, other in enumerate(observed.description.assigned[observed.labels[image]].tolist())
        if other == prototype
    ]


def slow_consistency(observed, half_window, threshold):
    flags = []
    for prototype in range(observed.description.num_prototypes):
        looked = slots_of(observed, prototype)
        if not looked:
            continue
        hit, visible = np.zeros(len(observed.parts.names), int), np.zeros(len(observed.parts.names), int)
        for image, slot in looked:
            hit += np.array(hit_vector(observed, image, observed.peaks[image, slot], half_window), int)
            visible += observed.parts.visible[image].numpy()
        shares = [Fraction(int(h), max(1, int(v))) for h, v in zip(hit, visible, strict=True)]
        flags.append(max(shares) >= Fraction(str(threshold)))
    return 100 * sum(flags) / len(flags)


def slow_stability(observed, half_window):
    values = []
    for prototype in range(observed.description.num_prototypes):
        looked, same = slots_of(observed, prototype), []
        for noisy in observed.stacked("noisy", "peaks"):
            for image, slot in looked:
                clean = hit_vector(observed, image, observed.peaks[image, slot], half_window)
                same.append(clean == hit_vector(observed, image, noisy[image, slot], half_window))
        if looked:
            values.append(sum(same) / len(same))
    return 100 * sum(values) / len(values)


@pytest.mark.parametrize("shared", [False, True])
@given(seed=st.integers(0, 1000), half_window=st.integers(0, 40))
@settings(max_examples=10, deadline=None)
def test_scores_equal_slow_loops(shared, seed, half_window):
    observed = observe(LABELS, shared, seed, half_window=half_window)
    for threshold in (0.8, 0.5, 1.0):
        found = score_of(CONSISTENCY, observed, threshold=threshold).value
        assert found == pytest.approx(slow_consistency(observed, half_window, threshold), abs=1e-9)
    assert score_of(STABILITY, observed).value == pytest.approx(slow_stability(observed, half_window), abs=1e-9)


def planted(observed, peaks, noisy=None):
    columns = {**observed.columns, "peaks": {"peaks": peaks}}
    for draw in range(3):
        columns[f"noisy/{draw}"] = {"peaks": peaks if noisy is None else noisy}
    return replace(observed, columns=columns)


def inner_parts(observed, part=0):
    """The same data with one part that shows in every image, at a place of its own."""
    generator = torch.Generator().manual_seed(5)
    pixels, visible = observed.parts.pixels.clone(), observed.parts.visible.clone()
    pixels[:, part] = torch.randint(SIZE, (len(observed.ids), 2), generator=generator)
    visible[:, part] = True
    return replace(observed, parts=replace(observed.parts, pixels=pixels, visible=visible))


@pytest.mark.parametrize("shared", [False, True])
def test_prototype_on_its_part_is_perfect(shared):
    observed = inner_parts(observe(LABELS, shared, half_window=0))
    spot = observed.parts.pixels[:, :1].flip(2).expand(-1, observed.peaks.shape[1], -1)
    perfect = planted(observed, spot)
    consistency = score_of(CONSISTENCY, perfect)
    assert consistency.value == 100
    assert {part for part in consistency.details["part_of_prototype"] if part} == {"beak"}
    assert score_of(STABILITY, perfect).value == 100


def test_random_prototypes_score_like_the_baseline():
    """With many images, peaks anywhere are as good as the random peaks beside the score."""
    observed = observe([0] * 400, half_window=8, classes=1)
    score = score_of(
        STABILITY, planted(observed, observed.columns["peaks"]["peaks"], observed.columns["views/flip"]["peaks"])
    )
    assert score.value == pytest.approx(score.baselines["random peak"], abs=4)
    frequencies = score_of(CONSISTENCY, observed).details["frequency_of_part"]
    area = (2 * 8 + 1) ** 2 / SIZE**2
    assert max(frequencies) < 3 * area


def test_noise_curve_needs_further_levels():
    observed = observe(LABELS, noise_levels=(0.1, 0.4))
    columns = {
        **observed.columns,
        "noise level/0.1": observed.columns["peaks"],
        "noise level/0.4": observed.columns["noisy/0"],
    }
    score = score_of(STABILITY, replace(observed, columns=columns))
    noise = score.curves[-1]
    assert noise.parameter == "noise"
    assert noise.x == (0.1, 0.2, 0.4)
    assert noise.y[0] == 100
    assert noise.y[1] == pytest.approx(score.value)
    assert len(score.details["by_draw"]) == 3
    assert score.value == pytest.approx(sum(score.details["by_draw"]) / 3)


# ---------------------------------------------------------------------- parts


def test_order_of_operations_of_the_mapping():
    """224 * (61 / 224) truncates to 60, as published."""
    source = torch.tensor([[[61.0, 115.0], [122.9, 0.5], [-1.0, 225.0]]], dtype=torch.float64)
    crops = torch.tensor([[0.0, 0.0, 224.0, 224.0]], dtype=torch.float64)
    assert input_pixels(source, crops, 224).tolist() == [[[60, 114], [121, 0], [-1, 225]]]


def test_parts_of_cropped_and_uncropped_images():
    parts = {"beak": (60.0, 40.0), "tail": None}
    record = ImageRecord("a.jpg", None, 0, "test", Box(10, 20, 110, 70), parts)
    for crop, expected in ((Box(10, 20, 110, 70), (32, 25)), (Box(0, 0, 200, 100), (19, 25))):
        found = read_parts([record, record], [Geometry(crop, 64)] * 2, ("beak", "tail"), 64)
        assert found.visible.tolist() == [[True, False]] * 2
        assert tuple(found.pixels[0, 0].tolist()) == expected
    bare = ImageRecord("b.jpg", None, 0, "test")
    assert not read_parts([bare], [Geometry(Box(0, 0, 9, 9), 64)], ("beak",), 64).visible.any()


def test_sides_are_merged():
    names = ("beak", "left eye", "right eye", "eye01", "eye02", "left_wing", "body")
    merged, which = merged_sides(names)
    assert merged == ("beak", "eye", "wing", "body")
    assert which.tolist() == [0, 1, 1, 1, 1, 2, 3]


# ---------------------------------------------------------------------- purity


def slow_purity(parts, prototypes, images, boxes, count):
    """Nauta et al. 2023, row by row."""
    names, which = merged_sides(parts.names)
    patch = round(32 * parts.size / 224)
    hits, visible = np.zeros((count, len(names)), int), np.zeros((count, len(names)), int)
    for prototype, image, box in zip(prototypes.tolist(), images.tolist(), boxes.tolist(), strict=True):
        y0, y1, x0, x1 = box
        if y1 - y0 > patch:
            y0, y1 = y0 + (y1 - y0 - patch) // 2, y1 - (y1 - y0 - patch) // 2
        if x1 - x0 > patch:
            x0, x1 = x0 + (x1 - x0 - patch) // 2, x1 - (x1 - x0 - patch) // 2
        left, top, right, bottom = parts.crops[image].tolist()
        across, down = (right - left) / parts.size, (bottom - top) / parts.size
        shows, inside = set(), set()
        for part in range(len(parts.names)):
            if not parts.visible[image, part]:
                continue
            shows.add(which[part])
            x, y = parts.source[image, part].tolist()
            if left + x0 * across <= x <= left + x1 * across and top + y0 * down <= y <= top + y1 * down:
                inside.add(which[part])
        for part in shows:
            visible[prototype, part] += 1
        for part in inside:
            hits[prototype, part] += 1
    return hits, visible


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_purity_counts_equal_a_slow_loop(seed):
    observed, rng = observe(LABELS, seed=seed), np.random.default_rng(seed)
    rows = 40
    prototypes, images = (torch.from_numpy(rng.integers(high, size=rows)) for high in (6, len(LABELS)))
    starts = rng.integers(0, SIZE - 20, (rows, 2))
    sides = rng.integers(5, 20, (rows, 2))
    boxes = torch.from_numpy(
        np.stack([starts[:, 0], starts[:, 0] + sides[:, 0], starts[:, 1], starts[:, 1] + sides[:, 1]], 1)
    )
    found = count_parts(observed.parts, prototypes, images, boxes, 6)
    hits, visible = slow_purity(observed.parts, prototypes, images, boxes, 6)
    assert found.hits.tolist() == hits.tolist()
    assert found.visible.tolist() == visible.tolist()


def test_pure_prototypes_are_pure():
    """All patches of all prototypes lie on the tail, which shows in every image."""
    observed = observe(LABELS)
    tail = observed.parts.names.index("tail")
    rows, columns = 1 + torch.arange(len(LABELS)) % 2, 1 + torch.arange(len(LABELS)) // 2 % 2
    pixels = torch.stack([columns, rows], 1) * 18 + 4.5  # inside the patch of that cell
    source, visible = observed.parts.source.clone(), torch.zeros_like(observed.parts.visible)
    low, high = observed.parts.crops[:, :2], observed.parts.crops[:, 2:]
    source[:, tail] = low + pixels * (high - low) / SIZE
    visible[:, tail] = True
    cells = (rows * 4 + columns)[:, None].expand(-1, observed.description.num_prototypes).int()
    pure = replace(
        observed,
        parts=replace(observed.parts, source=source, visible=visible),
        columns={**observed.columns, "patches": {"cells": cells}},
    )
    score = score_of(PURITY, pure)
    assert score.value == 1
    assert score.baselines["random peak"] < 0.6
    assert set(score.details["part_of_prototype"]) == {"tail"}
