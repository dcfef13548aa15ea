"""Settings of a measurement from plain values: what several metrics share, and each metric's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from protoexplain.errors import UserError, nearest_name
from protoexplain.io.manifest import first_mistake
from protoexplain.metrics.registry import get_metric, list_metrics
from protoexplain.metrics.settings import MeasureSettings


def parse_settings(raw: Mapping[str, Any], names: Sequence[str]) -> tuple[MeasureSettings, dict[str, BaseModel]]:
    """Check plain settings.

    Args:
        raw: Keys of `MeasureSettings`, and metric name -> table of its own settings.
        names: The metrics to be measured; settings of others are refused.

    Raises:
        UserError: An unknown key or an ill value.
    """
    shared = {key: value for key, value in raw.items() if key not in names}
    own = {name: _checked(get_metric(name).settings, raw.get(name) or {}, f"{name}.", ()) for name in names}
    settings = _checked(MeasureSettings, shared, "", names)
    assert isinstance(settings, MeasureSettings)
    return settings, own


def _checked(schema: type[BaseModel], values: Mapping[str, Any], prefix: str, more: Sequence[str]) -> BaseModel:
    if not isinstance(values, Mapping):
        raise UserError(f"{values!r} is no table of settings", prefix.rstrip("."), "write key=value")
    for key in values:
        if key not in schema.model_fields:
            known = [*schema.model_fields, *more]
            hint = "it is not among the metrics to be measured" if key in list_metrics() else nearest_name(key, known)
            raise UserError(f"unknown setting '{prefix}{key}'", "settings", hint)
    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        raise UserError(f"{prefix}{first_mistake(error)}", "settings", "correct the named setting") from error
