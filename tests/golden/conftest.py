"""`golden("name")` loads name.npz from the folder PROTOEXPLAIN_GOLDEN, by default this one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from golden_vectors import Vectors

FOLDER = Path(os.environ.get("PROTOEXPLAIN_GOLDEN") or Path(__file__).parent)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Vectors]:
    return lambda name: Vectors(FOLDER / f"{name}.npz")
