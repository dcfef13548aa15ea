"""In which precision numbers are computed, whatever the device and the training's mixed precision.

Float64 is for the CPU alone: some accelerators (Apple's) have none.  By default torch rounds the inputs of float32
convolutions to three digits (TF32) on NVIDIA's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Any, ParamSpec, TypeVar

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


class _Exactness:
    """Torch's precision of float32, a setting of the whole process: the first thread that wants all digits sets it, and
    the last one puts back what was there."""

    def __init__(self) -> None:
        self._lock, self._users = Lock(), 0
        self._before: list[str] = []

    def begin(self) -> None:
        with self._lock:
            if not self._users:
                self._before = [setting.fp32_precision for setting in _settings()]
                for setting in _settings():
                    setting.fp32_precision = "ieee"
            self._users += 1

    def end(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                for setting, value in zip(_settings(), self._before, strict=True):
                    setting.fp32_precision = value


def _settings() -> tuple[Any, ...]:
    return torch.backends.cudnn.conv, torch.backends.cuda.matmul  # type: ignore[attr-defined]


_exactness = _Exactness()


@contextmanager
def all_digits() -> Iterator[None]:
    """Inside, accelerators compute float32 products and convolutions with all digits instead of in TF32.

    Patches that are written into prototypes are then found and proved alike on all devices.  It can decorate functions,
    and several threads may be inside; what else the process computes meanwhile has all digits too.
    """
    _exactness.begin()
    try:
        yield
    finally:
        _exactness.end()


def exact(numbers: Tensor) -> Tensor:
    """The numbers in float64, on the CPU; gradients flow back to where they came from."""
    return numbers.cpu().double()


def _widened(value: object) -> object:
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return value.float()
    return value
