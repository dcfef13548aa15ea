"""A checkpoint that comes with the program, and images of it."""

import pytest

import protoexplain as px
from protoexplain.checkpoint.folders import shipped_checkpoints


@pytest.fixture(scope="session")
def model():
    return px.load(shipped_checkpoints() / "planted-protopnet", device="cpu")


@pytest.fixture(scope="session")
def files(model):
    """Training images of three prototypes of three classes."""
    records = {record.label: record for record in model.checkpoint.prototypes}
    return [model.checkpoint.path / "thumbs" / records[label].source for label in range(3)]


@pytest.fixture(scope="session")
def file(files):
    return files[0]
