"""Folders of intermediate results, removed with what still holds on to the files in them."""

from __future__ import annotations

import shutil
import sys
import traceback
from pathlib import Path


def remove_scratch(folder: Path) -> None:
    """Remove a folder of intermediate results; what cannot be removed stays.

    Windows removes no file that is mapped into memory.  Where an exception is on its way, the functions that it came
    through may still hold such maps in their variables, so these are cleared first.
    """
    error = sys.exception()
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__
    shutil.rmtree(folder, ignore_errors=True)
