"""In which precision numbers are computed, whatever the device and the training's mixed precision.

Float64 is for the CPU alone: some accelerators (Apple's) have none.  By default torch rounds the inputs of float32
convolutions to three digits (TF32) on NVIDIA's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


@contextmanager
def all_digits() -> Iterator[None]:
    """Inside, accelerators compute float32 products and convolutions with all digits instead of in TF32.

    Patches that are written into prototypes are then found and proved alike on all devices.  It can decorate functions.
    """
    settings = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = "ieee"
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value


def exact(numbers: Tensor) -> Tensor:
    """The numbers in float64, on the CPU; gradients flow back to where they came from."""
    return numbers.cpu().double()


def _widened(value: object) -> object:
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return value.float()
    return value
