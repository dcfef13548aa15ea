"""What the processes of a training have together."""

from __future__ import annotations

import torch
from torch import Tensor


def over_processes(own: Tensor) -> Tensor:
    """The sum of a tensor over all processes, each of which gives its own; with one process it is the tensor itself."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return own
    total = own.clone(memory_format=torch.contiguous_format)
    torch.distributed.all_reduce(total)
    return total
