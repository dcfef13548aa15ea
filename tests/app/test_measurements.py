"""Metrics measured in the background: added to the checkpoint or kept beside it, cancelled, resumed, refused."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest

import protoexplain_app.measurements
from protoexplain.checkpoint.checkpoint import Checkpoint, add_metrics
from protoexplain.errors import UserError
from protoexplain.metrics.runner import measure
from protoexplain_app.examples import Examples
from protoexplain_app.jobs import JobQueue, Requests
from protoexplain_app.measurements import Measurements

NAMES = ("accuracy", "consistency")


@pytest.fixture
def checkpoint(store):
    return store.listed("a-protopnet").checkpoint


def ended(measurements, checkpoint):
    """The job when it is over."""
    until = time.monotonic() + 60
    while (job := measurements.job(checkpoint)).under_way:
        assert time.monotonic() < until
        time.sleep(0.02)
    return job


def test_what_was_measured_is_added_to_the_checkpoint(measurements, checkpoint, birds, store):
    assert measurements.results(checkpoint) == {}
    measurements.start(checkpoint, NAMES)
    job = ended(measurements, checkpoint)
    assert (job.state, job.error) == ("finished", None)
    store.scan()
    again = store.listed("a-protopnet").checkpoint
    assert again.weights_sha256 == checkpoint.weights_sha256
    results = measurements.results(again)
    assert list(results) == list(NAMES)
    expected = measure(checkpoint, birds, NAMES, {"batch_size": 8})
    assert results["consistency"].to_dict() == expected["consistency"].to_dict()
    assert again.metrics["test_accuracy"] == 0.875


def test_where_the_checkpoint_cannot_be_written_results_are_kept_beside_it(
    measurements, checkpoint, examples, monkeypatch
):
    def refuse(path, measured):
        raise UserError("the folder cannot be written", str(path))

    monkeypatch.setattr(protoexplain_app.measurements, "add_metrics", refuse)
    measurements.start(checkpoint, ["accuracy"])
    job = ended(measurements, checkpoint)
    assert job.state == "finished"
    assert "user's cache" in job.notes[-1]
    measurements.start(checkpoint, ["consistency"])
    ended(measurements, checkpoint)
    again = Measurements(examples, JobQueue(), measurements.folder)
    assert sorted(again.results(checkpoint)) == sorted(NAMES)
    assert again.metrics(checkpoint)["interpretability"]["accuracy"]["value"] >= 0
    assert again.metrics(checkpoint)["test_accuracy"] == 0.875
    assert "interpretability" not in Checkpoint.load(checkpoint.path).metrics


@pytest.mark.parametrize("content", ["", "[]", '{"accuracy": 3}', '{"accuracy": {"value": "x"}}'])
def test_a_damaged_file_counts_as_nothing_measured(measurements, checkpoint, content):
    measurements.folder.mkdir(parents=True)
    (measurements.folder / f"{checkpoint.weights_sha256[:32]}.json").write_text(content)
    assert measurements.results(checkpoint) == {}
    assert measurements.metrics(checkpoint) == checkpoint.metrics


def test_a_cancelled_measurement_goes_on_where_it_was(examples, checkpoint, tmp_path):
    class Coming(Requests):
        """A request comes in when the work has made a few steps, and stays until the test lets it go."""

        def __init__(self):
            super().__init__()
            self.looked, self.go = 0, threading.Event()

        @property
        def waiting(self):
            self.looked += 1
            return int(self.looked > 3 and not self.go.is_set())

    requests = Coming()
    measurements = Measurements(examples, JobQueue(requests), tmp_path / "measurements")
    measurements.start(checkpoint, NAMES)
    until = time.monotonic() + 30
    while requests.looked < 4:
        assert time.monotonic() < until
        time.sleep(0.01)
    measurements.cancel(checkpoint)
    requests.go.set()
    assert ended(measurements, checkpoint).state == "cancelled"
    assert measurements.results(checkpoint) == {}
    chunks = list((measurements.folder / "work").rglob("*.safetensors"))
    assert chunks
    measurements.start(checkpoint, NAMES)
    assert ended(measurements, checkpoint).state == "finished"
    assert not list((measurements.folder / "work").rglob("*.safetensors"))


def test_one_measurement_of_a_model_at_a_time(measurements, checkpoint):
    with measurements.jobs.requests.answering():
        measurements.start(checkpoint, ["accuracy"])
        assert measurements.start(checkpoint, ["consistency"]).result == ("accuracy",)
        measurements.cancel(checkpoint)
    assert ended(measurements, checkpoint).state == "cancelled"


def test_what_cannot_be_measured_is_refused_or_told(measurements, checkpoint, tmp_path):
    with pytest.raises(UserError, match="no metric"):
        measurements.start(checkpoint, [])
    with pytest.raises(UserError, match="no data set"):
        Measurements(Examples(None), JobQueue(), tmp_path).start(checkpoint, NAMES)
    with pytest.raises(UserError, match="classes"):
        measurements.start(dataclasses.replace(checkpoint, classes=("Wren",)), NAMES)
    measurements.start(checkpoint, ["foreign_accepted"])
    job = ended(measurements, checkpoint)
    assert job.state == "failed"
    assert "images of things that the model does not know" in job.error.what


def test_results_that_could_be_kept_nowhere_are_refused_before_the_work(examples, jobs, checkpoint, tmp_path):
    (tmp_path / "file").touch()
    measurements = Measurements(examples, jobs, tmp_path / "file" / "measurements")
    with pytest.raises(UserError, match="cannot write"):
        measurements.start(checkpoint, NAMES)
    assert measurements.job(checkpoint).state == "new"


def test_newer_results_of_others_stay(measurements, checkpoint):
    """What was only taken over from before is not written again."""
    results = measure(checkpoint, measurements.examples.folder, NAMES, {"batch_size": 8})
    told = {name: result.to_dict() for name, result in results.items()}
    before = add_metrics(checkpoint, {"interpretability": {**told, "accuracy": {**told["accuracy"], "value": 0.25}}})
    add_metrics(checkpoint, {"interpretability": {"accuracy": {**told["accuracy"], "value": 0.75}}})
    measurements.start(before, ["accuracy", "stability"])
    assert ended(measurements, before).state == "finished"
    found = Checkpoint.load(checkpoint.path).metrics["interpretability"]
    assert found["accuracy"]["value"] == 0.75
    assert set(found) == {*NAMES, "stability"}


def test_what_the_data_lack_is_said(measurements, checkpoint):
    assert set(measurements.lacks(checkpoint)) == {"foreign", "certificate"}
    view = measurements.examples.view(checkpoint)
    bare = tuple(dataclasses.replace(record, parts={}, mask=None) for record in view.image_set.records)
    poorer = dataclasses.replace(view, image_set=dataclasses.replace(view.image_set, records=bare))
    measurements.examples.view = lambda checkpoint: poorer
    lacks = measurements.lacks(checkpoint)
    assert set(lacks) == {"foreign", "certificate", "parts", "regions", "training_regions"}
    assert "part locations" in lacks["parts"][0]
    assert "masks" in lacks["regions"][0]
    assert "masks" in lacks["training_regions"][0]
