"""What tests of reading and writing share."""

import subprocess
import sys

import pytest


@pytest.fixture
def dead_pid():
    """Number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid
