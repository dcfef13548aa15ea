"""Read the MATLAB files in which some data sets publish their annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from protoexplain.errors import UserError


def read_mat(path: Path, *keys: str) -> list[np.ndarray]:
    """The named arrays of a file, each flattened to one dimension.

    Raises:
        UserError: Not a MATLAB file, or one of the arrays is not in it.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path, squeeze_me=True, variable_names=keys)
    except Exception as error:
        what = f"this is no MATLAB file that can be read ({type(error).__name__})"
        raise UserError(what, str(path), "copy the file again from the original") from error
    missing = [key for key in keys if key not in content]
    if missing:
        raise UserError(f"the file has no '{missing[0]}'", str(path), "copy the file again from the original")
    return [np.atleast_1d(content[key]) for key in keys]


def fields(rows: np.ndarray, names: tuple[str, ...], path: Path) -> list[list[Any]]:
    """Columns of a structure array by name, as plain Python values.

    Raises:
        UserError: A field is missing.
    """
    known = rows.dtype.names or ()
    missing = [name for name in names if name not in known]
    if missing:
        what = f"the annotations have no field '{missing[0]}', only {', '.join(known) or 'plain values'}"
        raise UserError(what, str(path), "copy the file again from the original")
    return [
        [value.item() if isinstance(value, np.ndarray | np.generic) else value for value in rows[name]]
        for name in names
    ]
