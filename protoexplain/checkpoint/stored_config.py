"""The configuration that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protoexplain.config import RunConfig, parse, read_yaml_file
from protoexplain.errors import UserError

_RETIRED = {("model", "start", "patches"): "random", ("data", "augmentation", "light_noise"): "affine_noise"}
"""Values that earlier versions trained with and this one does not know, and the nearest that it knows.  They say how a
training went that is over; the model is the same.
"""


def read_config(path: Path, fix: str) -> RunConfig:
    """Read and check a configuration file.

    Args:
        path: The file.
        fix: What to do about a bad one.

    Raises:
        UserError: It is damaged, or has unknown keys or ill values.
    """
    content = read_yaml_file(path)
    if not isinstance(content, dict):
        raise UserError("the configuration is not a table of keys", str(path), fix)
    try:
        return parse(_in_present_format(content))
    except UserError as error:
        raise UserError(error.what, str(path), fix) from error


def _in_present_format(content: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(content)
    for (group, key, value), instead in _RETIRED.items():
        settings = found.get(group)
        if isinstance(settings, Mapping) and settings.get(key) == value:
            found[group] = {**settings, key: instead}
    return found
