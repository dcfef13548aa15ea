"""The pass over a data set: right, resumable, and the same however it came about."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_runs import tiny_config, tiny_model

from protoexplain.data.loading import cut, geometry_of
from protoexplain.data.read import read_image_set
from protoexplain.explanations.characteristics import measurement as module
from protoexplain.explanations.characteristics.calibration import disturbance, related
from protoexplain.explanations.characteristics.global_scores import weighted_mean
from protoexplain.explanations.characteristics.local_scores import local_scores
from protoexplain.explanations.characteristics.measurement import CharacteristicsMeasurement
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.explanations.characteristics.variants import MOVES, PUBLISHED
from protoexplain.io.cache import DiskCache
from protoexplain.io.images import load_image
from protoexplain.models.registry import family_names

SIZE = 64


@pytest.fixture(scope="module")
def textures(tmp_path_factory):
    """Smoothed pictures, once for the whole file."""
    return DiskCache(tmp_path_factory.mktemp("textures"))


@pytest.fixture
def measurement(textures, tmp_path, monkeypatch):
    """A survey that tries strengths on few images and keeps its tables in a folder of the test."""
    monkeypatch.setattr(module, "SAMPLE", 3)
    monkeypatch.setattr(module, "CHUNK", 3)

    def make(model, folder="tables", progress=lambda what, done, total: None):
        return CharacteristicsMeasurement(
            model, "weights", "box", SIZE, progress, textures, DiskCache(tmp_path / folder)
        )

    return make


def model_of(family):
    return tiny_model(tiny_config(family))


@pytest.fixture(scope="module")
def records(planted):
    return read_image_set(planted).split("train")


@pytest.mark.parametrize("family", family_names())
def test_against_one_image_after_the_other(family, records, measurement, textures):
    model = model_of(family)
    found = measurement(model).run(records, "train", "data")
    crops = [cut(load_image(r.path).rgb, geometry_of(r, load_image(r.path).size, "box", SIZE)) for r in records]
    published = [local_scores(model, rgb, SIZE, PUBLISHED, textures) for rgb in crops]
    activations = torch.stack([one.activations for one in published]).double()
    scores = torch.stack([one.scores for one in published]).double()
    expected = weighted_mean(scores, activations)
    np.testing.assert_allclose(np.array(found.published.value), expected.numpy(), atol=2e-4, rtol=1e-3)

    calibration = found.calibration
    equal = torch.stack(
        [local_scores(model, rgb, SIZE, calibration.changes(), textures).scores for rgb in crops]
    ).double()
    own = related(model.class_weights(), torch.tensor([record.label for record in records]))
    scale = disturbance(equal, ~own)
    assert list(calibration.scale.values()) == pytest.approx(scale.tolist(), rel=1e-3, abs=1e-6)
    weights = activations * own * (activations > 0)
    calibrated = weighted_mean(equal / scale[:, None], weights)
    np.testing.assert_allclose(np.array(found.calibrated.value, float), calibrated.numpy(), atol=2e-3, rtol=2e-3)
    assert list(found.matched_images) == (weights > 0).sum(0).tolist()

    moves = [(name, move.strength) for name, move in MOVES.items()]
    moved = torch.stack([local_scores(model, rgb, SIZE, moves).scores for rgb in crops]).double()
    noise = weighted_mean(moved.square(), weights).mean(1).sqrt()
    np.testing.assert_allclose(np.array(calibration.noise, float), noise.numpy(), atol=1e-4, rtol=1e-2)


def test_changes_are_equally_strong(records, measurement):
    """Unrelated prototypes change by about as much, whatever is changed, wherever a change can be that strong."""
    found = measurement(model_of("protopnet")).run(records, "train", "data")
    scale, strengths = found.calibration.scale, found.calibration.strengths
    free = [
        name for name, entry in MODIFICATIONS.items() if strengths[name] not in (entry.low, entry.high, entry.neutral)
    ]
    assert len(free) >= 3
    assert max(scale[name] for name in free) < 2.5 * min(scale[name] for name in free)


def test_an_interrupted_pass_goes_on_where_it_stopped(records, measurement, monkeypatch):
    model = model_of("protopnet")
    forwards = []
    real = module.activations_at_peak
    monkeypatch.setattr(
        module, "activations_at_peak", lambda model, pictures: forwards.append(len(pictures)) or real(model, pictures)
    )
    whole = measurement(model, "whole").run(records, "train", "data")
    chunks = len(forwards)
    assert sum(forwards) == 3 + len(records), "some to compare strengths, all to measure"
    assert max(forwards) <= 3

    def stop(what, done, total):
        if what == "measuring characteristics":
            raise KeyboardInterrupt

    forwards.clear()
    with pytest.raises(KeyboardInterrupt):
        measurement(model, "again", stop).run(records, "train", "data")
    before = len(forwards)
    assert 0 < before < chunks
    resumed = measurement(model, "again").run(records, "train", "data")
    assert len(forwards) == chunks, "nothing was measured twice"
    assert resumed == whole
    forwards.clear()
    assert measurement(model, "again").run(records, "train", "data") == whole
    assert forwards == []


def test_a_damaged_table_is_measured_again(records, measurement, tmp_path):
    model = model_of("protopnet")
    whole = measurement(model).run(records[:4], "train", "data")
    for file in (tmp_path / "tables").glob("??/*"):
        file.write_bytes(file.read_bytes()[:-4])
    assert measurement(model).run(records[:4], "train", "data") == whole


def test_tables_of_other_weights_are_not_taken(records, measurement):
    one = measurement(model_of("protopnet")).run(records[:4], "train", "data")
    other = tiny_model(tiny_config("protopnet"), seed=1)
    changed = dataclasses.replace(measurement(other), weights_id="other weights")
    assert changed.run(records[:4], "train", "data") != one


def test_progress_counts_all_images(records, measurement):
    told = []
    measurement(model_of("protopnet"), progress=lambda *step: told.append(step)).run(records, "train", "data")
    for what, count in (("comparing strengths", 3), ("measuring characteristics", len(records))):
        steps = [(done, total) for name, done, total in told if name == what]
        assert steps[-1] == (count, count)
        assert steps == sorted(steps)
