"""What the folder of a run remembers: its settings and the data that it was trained on; read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protoexplain.config import RunConfig, merged, read_yaml
from protoexplain.errors import UserError
from protoexplain.io.json_values import flat

CONFIG = "config.yaml"
_ELSEWHERE: Mapping[str, Any] = {"about": "", "data": {"path": "", "workers": 0}}
"""Settings that decide nothing about the result, at values that say nothing."""


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, of which those that decide nothing about the result are alike for all runs."""
    return merged(settings, _ELSEWHERE)


def remembered(config: RunConfig, data: Path) -> str:
    """The text of config.yaml: the settings, and the folder of the data."""
    where = config.data.model_copy(update={"path": str(data.resolve())})
    return config.model_copy(update={"data": where}).to_yaml()


def data_of_run(folder: Path) -> Path | None:
    """The data that a run was trained on; None where it does not say, or the data are no longer there."""
    data = _stored(folder).get("data")
    path = data.get("path") if isinstance(data, Mapping) else None
    return Path(path) if isinstance(path, str) and path and Path(path).is_dir() else None


def require_same_settings(folder: Path, config: RunConfig) -> None:
    """Refuse to go on with a run with other settings.

    Args:
        folder: Of the run; without a stored configuration nothing is refused.
        config: With which it is to go on.

    Raises:
        UserError: Names each key that differs, with both values.
    """
    known = _stored(folder)
    stored, given = (dict(flat(deciding(settings))) for settings in (known, config.model_dump(mode="json")))
    keys = sorted(key for key in stored.keys() | given.keys() if stored.get(key) != given.get(key))
    changed = [f"{key} was {stored.get(key)} and is {given.get(key)}" for key in keys]
    if known and changed:
        raise UserError(
            f"configuration or data changed since the run was interrupted: {'; '.join(changed)}",
            str(folder / CONFIG),
            "go on with the former settings, or start anew in another folder",
        )


def _stored(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    content = read_yaml(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else None
    return content if isinstance(content, dict) else {}
