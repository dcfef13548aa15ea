"""In which precision numbers are computed, whatever the device and the training's mixed precision.

Float64 is for the CPU alone: some accelerators (Apple's) have none.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def in_float32(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Make a function of tensors compute in float32 where autocast is on; tensors in half precision are cast.

    Half precision has about three digits.  That is enough for the features, but it confuses the nearest patch with its
    neighbours, and gradients would flow into the wrong cells.
    """

    @wraps(function)
    def computed(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        device = next(value.device.type for value in args if isinstance(value, Tensor))
        if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
            return function(*args, **kwargs)
        with torch.autocast(device, enabled=False):
            return function(*map(_widened, args), **kwargs)  # type: ignore[arg-type]

    return computed


def exact(numbers: Tensor) -> Tensor:
    """The numbers in float64, on the CPU; gradients flow back to where they came from."""
    return numbers.cpu().double()


def _widened(value: object) -> object:
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return value.float()
    return value
