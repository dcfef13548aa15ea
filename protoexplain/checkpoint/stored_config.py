"""The configuration that a checkpoint holds."""

from __future__ import annotations

from pathlib import Path

from protoexplain.config import MAX_YAML_BYTES, RunConfig, parse, read_yaml
from protoexplain.errors import UserError
from protoexplain.io.manifest import read_limited


def read_config(path: Path, fix: str) -> RunConfig:
    """Read and check a configuration file.

    Args:
        path: The file.
        fix: What to do about a bad one.

    Raises:
        UserError: It is damaged, or has unknown keys or ill values.
    """
    text = read_limited(path, MAX_YAML_BYTES).decode(errors="replace")
    content = read_yaml(text, str(path))
    if not isinstance(content, dict):
        raise UserError("the configuration is not a table of keys", str(path), fix)
    try:
        return parse(content)
    except UserError as error:
        raise UserError(error.what, str(path), fix) from error
