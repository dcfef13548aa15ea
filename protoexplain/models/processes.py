"""What the processes of a training have together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

_alone: ContextVar[bool] = ContextVar("alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """In the block this process computes what the others do not, and asks them for nothing."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def over_processes(own: Tensor) -> Tensor:
    """The sum of a tensor over all processes, each of which gives its own; where there is one, or it is `alone`, the
    tensor itself.  Gradients are those of the sum of the losses of all processes."""
    if _alone.get() or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return own
    total: Tensor = _Sum.apply(own)
    return total


class _Sum(torch.autograd.Function):
    """A sum over processes, whose gradient is one, too."""

    @staticmethod
    def forward(context: Any, own: Tensor) -> Tensor:  # noqa: ANN401
        return _summed(own)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        return _summed(gradient)


def _summed(own: Tensor) -> Tensor:
    total = own.clone(memory_format=torch.contiguous_format)
    torch.distributed.all_reduce(total)
    return total
