"""Metrics of training patches are what the findings after a training say."""

import re
from dataclasses import replace

import pytest
import torch
from metrics.measured_checkpoints import keep_checkpoint
from metrics.observed import observe, score_of

from protoexplain.data.geometry import Box
from protoexplain.metrics.runner import measure
from protoexplain.metrics.scores.off_object import METRIC as OFF_OBJECT
from protoexplain.metrics.scores.repeated_patches import METRIC as REPEATED
from protoexplain.training.diagnose import on_background, repeated

LABELS = (0, 0, 1, 1, 2, 3)


@pytest.mark.parametrize("family", ["protopnet", "cbc"])
def test_a_checkpoint_is_measured_as_it_was_diagnosed(family, planted, tmp_path):
    checkpoint = keep_checkpoint(family, planted, tmp_path / family)
    results = measure(checkpoint, planted, ["repeated_patches", "off_object"], {"resamples": 100})
    for name, words in (("repeated_patches", "share their patch"), ("off_object", "off the object")):
        sentence = next(sentence for sentence in checkpoint.findings if words in sentence)
        count, total = map(int, re.match(r"(\d+) of (\d+)", sentence).groups())
        score = results[name].score
        assert score.value == pytest.approx(100 * count / total)
        assert score.n_used == total == len(checkpoint.prototypes)


def with_records(observed, **changes):
    """The same patches, some of them changed: number -> fields."""
    records = list(observed.patches.records)
    for number, fields in changes.items():
        index = int(number.removeprefix("p"))
        records[index] = replace(records[index], **fields)
    return replace(observed, patches=replace(observed.patches, records=records))


def test_repeated_patches_are_counted_in_each_class_and_branch():
    observed = observe(LABELS)
    spread = {f"p{i}": {"row": i % 4, "column": i // 4, "image_id": "0.jpg"} for i in range(11)}
    apart = with_records(observed, **spread)
    score = score_of(REPEATED, apart)
    assert score.value == 0
    assert score.n_used == 11
    assert score.excluded == {"prototypes without a training patch": 1}
    assert score.per_prototype[11] is None
    same = {"row": 0, "column": 0}
    twice = with_records(apart, p1=same, p2=same, p4=same)  # 1 and 2 of class 0 in one branch, 4 of class 1
    assert score_of(REPEATED, twice).per_prototype[:5] == (0, 100, 100, 0, 0)
    assert score_of(REPEATED, twice).value == pytest.approx(200 / 11)
    assert repeated(twice.patches.records).prototypes == (1, 2)


def test_cells_off_the_object_beside_the_middle_and_all_cells():
    """The box takes a quarter of the picture, from a quarter of its width and height on; the map has 4 x 4 cells."""
    observed = observe(LABELS)
    images = [replace(image, box=Box(20, 10, 60, 30)) for image in observed.patches.images]
    observed = replace(observed, patches=replace(observed.patches, images=images))
    on, off = {"row": 1, "column": 2}, {"row": 0, "column": 2}
    placed = with_records(observed, **{f"p{i}": off if i < 3 else on for i in range(11)})
    score = score_of(OFF_OBJECT, placed)
    assert score.value == pytest.approx(300 / 11)
    assert score.per_prototype[:4] == (100, 100, 100, 0)
    assert score.baselines == {"centre cell": 0, "random cell": 75}
    assert on_background(placed.patches.records, images, "full").prototypes == (0, 1, 2)


def test_prototypes_whose_image_is_not_known_are_left_out():
    observed = observe(LABELS)
    score = score_of(OFF_OBJECT, with_records(observed, p0={"image_id": "elsewhere.jpg"}))
    assert score.n_used == 10
    assert sum(score.excluded.values()) == 2
    boxed = replace(observed, patches=replace(observed.patches, crop="box"))
    assert torch.isnan(torch.tensor(score_of(OFF_OBJECT, boxed).value)), "a box that is all there is tells nothing"
