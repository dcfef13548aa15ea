"""How sure a model may be, and below which familiarity it knows nothing: the file calibration.json of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from protoexplain.errors import UserError
from protoexplain.io.manifest import first_mistake
from protoexplain.models.calibration import Calibration

_Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class _Stored:
    __pydantic_config__ = ConfigDict(extra="forbid")

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    familiar: tuple[_Finite, ...]
    images: Annotated[int, Field(ge=1)]


_STORED = TypeAdapter(_Stored)


def calibration_json(calibration: Calibration) -> bytes:
    """As it is stored."""
    return _STORED.dump_json(
        _Stored(calibration.temperature, tuple(calibration.familiar.tolist()), calibration.images), indent=1
    )


def parse_calibration(content: bytes, classes: int, where: str) -> Calibration:
    """Check and read calibration.json of a model with so many classes.

    Raises:
        UserError: It is not what the program writes, or of other classes.
    """
    try:
        found = _STORED.validate_json(content)
    except ValidationError as error:
        what = f"not a calibration: {first_mistake(error)}"
        raise UserError(what, where, "use a checkpoint as the program wrote it") from error
    if len(found.familiar) != classes:
        what = f"a calibration of {len(found.familiar)} classes beside a model of {classes}"
        raise UserError(what, where, "use a checkpoint as the program wrote it")
    return Calibration(found.temperature, torch.tensor(found.familiar, dtype=torch.float64), found.images)
