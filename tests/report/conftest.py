"""Checkpoints of tiny models of every family, and a report of each."""

import functools
import shutil

import pytest

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import view_of
from protoexplain.data.read import read_image_set
from protoexplain.explanations.explainer import Explainer
from protoexplain.report.gather import gather, report_images


@pytest.fixture(scope="session")
def images(planted):
    return read_image_set(planted)


@pytest.fixture(scope="session")
def test_paths(images):
    return [record.path for record in images.split("test")[:2]]


@pytest.fixture(scope="session")
def explainers(tiny_checkpoint):
    """Family -> explainer of its checkpoint, loaded once."""
    return functools.cache(lambda family: Explainer(tiny_checkpoint(family)))


@pytest.fixture(scope="session")
def reports(explainers, images, test_paths):
    """family -> report of two pictures."""
    kept = {}

    def report(family):
        if family not in kept:
            explainer = explainers(family)
            kept[family] = gather(explainer, report_images(test_paths, view_of(explainer.checkpoint, images.root)))
        return kept[family]

    return report


@pytest.fixture
def checkpoint_copy(explainers, tmp_path):
    """A ProtoPNet that a test may add measurements to."""
    path = shutil.copytree(explainers("protopnet").checkpoint.path, tmp_path / "copy")
    return Checkpoint.load(path)
