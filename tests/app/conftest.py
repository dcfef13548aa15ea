"""One small data set with a checkpoint of each kind for all tests of the app."""

from __future__ import annotations

import shutil

import pytest
from sample_checkpoints import samples

from protoexplain_app.dataset_jobs import DatasetJobs
from protoexplain_app.examples import Examples
from protoexplain_app.image_predictions import PredictTestImages
from protoexplain_app.jobs import JobQueue, Requests
from protoexplain_app.library import Library
from protoexplain_app.measurements import Measurements
from protoexplain_app.models import ModelStore
from protoexplain_app.tabs.edit.edits import Edits
from protoexplain_app.tabs.prototypes.nearest import NearestPatchSearch
from protoexplain_app.tabs.report.reports import Reports


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Tests keep nothing in the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def birds(shared_folder):
    return samples(shared_folder)[0]


@pytest.fixture(scope="session")
def made(shared_folder):
    return samples(shared_folder)[1]


@pytest.fixture
def folder(made, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(made, tmp_path / "checkpoints")


@pytest.fixture
def store(folder):
    store = ModelStore(folder)
    store.scan()
    return store


@pytest.fixture
def examples(birds):
    return Examples(birds)


@pytest.fixture
def jobs():
    """A queue whose jobs end with the test."""
    queue = JobQueue(Requests())
    yield queue
    queue.close()


@pytest.fixture
def image_predictions(examples, jobs, tmp_path):
    return DatasetJobs(PredictTestImages(), examples, jobs, tmp_path / "surveys")


@pytest.fixture
def measurements(examples, jobs, tmp_path):
    return Measurements(examples, jobs, tmp_path / "measurements")


@pytest.fixture
def neighbours(examples, jobs, tmp_path):
    return DatasetJobs(NearestPatchSearch(), examples, jobs, tmp_path / "neighbours")


@pytest.fixture
def library(store, examples, jobs, image_predictions, measurements, neighbours):
    return Library(store, examples, image_predictions, measurements, neighbours, Reports(jobs), Edits(examples, jobs))
