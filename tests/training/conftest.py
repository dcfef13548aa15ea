"""Parts are discovered in few steps, where a test does not ask how well."""

import pytest


@pytest.fixture
def steps():
    """Steps of part discovery; None leaves them as they are."""
    return 25


@pytest.fixture(autouse=True)
def _steps_of_part_discovery(monkeypatch, steps):
    if steps:
        monkeypatch.setattr("protoexplain.training.part_discovery.STEPS", steps)
