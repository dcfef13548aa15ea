"""What the folder of a run remembers: its settings and the data that it was trained on; read without torch.

A run that goes on has to have both as they were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from protoexplain.config import RunConfig, assigned, merged, parse, read_yaml_file, with_training
from protoexplain.data.records import ImageSet
from protoexplain.errors import UserError
from protoexplain.io.json_values import flat
from protoexplain.io.manifest import read_json_table

CONFIG = "config.yaml"
DATA = "data.json"
_DECIDED = ("threads", "epochs")
"""Settings of the training that a run decides where they are not given; it goes on with what it decided."""
_ELSEWHERE: Mapping[str, Any] = {"about": "", "data": {"path": "", "workers": 0}}
"""Settings that decide nothing about the result, at values that say nothing."""


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, of which those that decide nothing about the result are alike for all runs."""
    return merged(settings, _ELSEWHERE)


def as_given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As `deciding`, of which also those that a run may decide itself are alike for all runs."""
    return merged(deciding(settings), {"training": dict.fromkeys(_DECIDED)})


def remembered(config: RunConfig, data: Path) -> str:
    """The text of config.yaml: the settings, and the folder of the data."""
    where = config.data.model_copy(update={"path": str(data.resolve())})
    return config.model_copy(update={"data": where}).to_yaml()


def is_run(folder: Path) -> bool:
    """Whether a training has begun in a folder."""
    return (folder / CONFIG).is_file() and (folder / DATA).is_file()


def settings_of_run(folder: Path, assignments: Sequence[str] = ()) -> RunConfig:
    """The settings of a run, in which what a run may decide itself is open.

    Args:
        folder: Of the run.
        assignments: Changes such as ``data.workers=2``.

    Raises:
        UserError: Its configuration cannot be read.
    """
    return assigned(merged(_stored(folder), {"training": dict.fromkeys(_DECIDED)}), assignments)


def data_of_run(folder: Path) -> Path | None:
    """The data that a run was trained on; None where it does not say, or the data are no longer there."""
    data = _stored(folder).get("data")
    path = data.get("path") if isinstance(data, Mapping) else None
    return Path(path) if isinstance(path, str) and path and Path(path).is_dir() else None


def settings_to_go_on(folder: Path, config: RunConfig) -> RunConfig:
    """The settings with which a run goes on: those given, and what it decided where they leave that open.

    Args:
        folder: Of the run; where it holds no configuration, nothing is known and nothing refused.
        config: As given.

    Raises:
        UserError: Settings changed; names each key that differs, with both values.
    """
    known = _stored(folder)
    if not known:
        return config
    before = parse(known)
    open_ = {key: getattr(before.training, key) for key in _DECIDED if getattr(config.training, key) is None}
    config = with_training(config, **open_)
    stored, given = (dict(flat(deciding(each.model_dump(mode="json")))) for each in (before, config))
    _require_same(stored, given, folder / CONFIG)
    return config


def described(image_set: ImageSet) -> str:
    """The text of data.json: what tells whether data are the same."""
    return json.dumps(_facts(image_set), indent=2) + "\n"


def require_same_data(folder: Path, image_set: ImageSet) -> None:
    """Refuse to go on with a run with other data.

    Args:
        folder: Of the run; where it describes no data, nothing is refused.
        image_set: With which it is to go on.

    Raises:
        UserError: Says what differs, with both values.
    """
    path = folder / DATA
    if path.is_file():
        _require_same(read_json_table(path), _facts(image_set), path)


def _facts(image_set: ImageSet) -> dict[str, Any]:
    return {
        "data.images": len(image_set.records),
        "data.classes": len(image_set.classes),
        "data.fingerprint": image_set.fingerprint(),
    }


def _require_same(before: Mapping[str, Any], now: Mapping[str, Any], where: Path) -> None:
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if changed:
        told = "; ".join(f"{key} was {_short(before.get(key))} and is {_short(now.get(key))}" for key in changed)
        raise UserError(
            f"configuration or data changed since the run was interrupted: {told}",
            str(where),
            "go on with the former settings and data, or start anew in another folder",
        )


def _short(value: object) -> str:
    """For people: the beginning of a hash is enough."""
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else str(value)


def _stored(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    content = read_yaml_file(path) if path.is_file() else None
    return content if isinstance(content, dict) else {}
