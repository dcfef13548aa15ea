"""Memory of tensors: freed one stays in the process, and where it runs out, the setting that needs less is named.

Feature maps are large enough that glibc maps and unmaps them one by one; the page faults cost up to half of the time
of a forward pass on a CPU.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from protoexplain.errors import UserError

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 1 << 30
_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
"""What torch says on its devices, in lower case."""


def reuse_freed_memory() -> None:
    """Tell glibc's allocator to keep blocks of up to 1 GiB; does nothing on other systems."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST)
    mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)


@contextmanager
def memory_advice(setting: str, batch_size: int) -> Iterator[None]:
    """Say which setting to lower where the block runs out of memory.

    Args:
        setting: That holds the number of pictures in a batch.
        batch_size: Its value.

    Raises:
        UserError: There was not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(sign in str(error).lower() for sign in _SIGNS):
            raise
        fewer = f"set it to {batch_size // 2} or less, or choose" if batch_size > 1 else "choose"
        raise UserError(
            f"out of memory with {batch_size} pictures in a batch",
            setting,
            f"{fewer} smaller pictures or a smaller backbone, or end other programs on this device",
        ) from error
