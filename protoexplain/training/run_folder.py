"""What the folder of a run remembers: its settings and the data that it was trained on; read without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from protoexplain.config import RunConfig, read_yaml
from protoexplain.errors import UserError

CONFIG = "config.yaml"
_ELSEWHERE = frozenset({"about", "data.path", "data.workers"})
"""Keys that decide nothing about the result."""


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
    stored = dict(_flat(_stored(folder)))
    given = dict(_flat(config.model_dump(mode="json")))
    keys = sorted(key for key in stored.keys() | given.keys() if stored.get(key) != given.get(key))
    changed = [f"{key} was {stored.get(key)} and is {given.get(key)}" for key in keys if key not in _ELSEWHERE]
    if stored and changed:
        raise UserError(
            f"configuration or data changed since the run was interrupted: {'; '.join(changed)}",
            str(folder / CONFIG),
            "go on with the former settings, or start anew in another folder",
        )


def _stored(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    content = read_yaml(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else None
    return content if isinstance(content, dict) else {}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
