"""A checkpoint measured on a data set that holds images without parts, from its files to the table."""

import math

import pytest
from metrics.measured_checkpoints import RecordingWatcher, keep_checkpoint

from protoexplain.metrics.registry import list_metrics
from protoexplain.metrics.runner import measure

NAMES = [name for name in list_metrics() if name.startswith("funnybirds")]


@pytest.mark.parametrize("family", ["protopnet", "pipnet"])
def test_funnybirds_protocol_of_a_checkpoint(family, funny_birds, tmp_path):
    checkpoint = keep_checkpoint(family, funny_birds, tmp_path / family)
    rules = ["boxes", "maps", "grad-cam"]
    settings = {"resamples": 100, "part_rules": rules}
    watcher = RecordingWatcher()
    results = measure(checkpoint, funny_birds, NAMES, settings, watcher)
    assert set(results) == set(NAMES)
    assert set(NAMES).isdisjoint(measure(checkpoint, funny_birds, None, {"resamples": 100, "steps": 1}))
    overall = results["funnybirds_overall"]
    assert list(overall.score.details["explanations"]) == rules
    assert overall.score.details["explanations"]["boxes"]["value"] == overall.score.value
    assert overall.settings["part_rules"] == rules
    assert math.isfinite(results["funnybirds_background_independence"].score.value)
    looking = [done for what, done, _ in watcher.steps if what.startswith("looking")]
    assert looking == sorted(looking)
    assert len(looking) > 20, "passes that take long say how far they are"
    assert results["funnybirds_preservation_check"].score.n_used <= 2
    batches = measure(checkpoint, funny_birds, ["funnybirds_overall"], {**settings, "batch_size": 1})
    assert batches["funnybirds_overall"].score.value == pytest.approx(overall.score.value, abs=1e-9)
