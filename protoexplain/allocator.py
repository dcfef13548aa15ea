"""Keep freed memory in the process instead of giving it back after every operation.

Feature maps are large enough that glibc maps and unmaps them one by one; the page faults cost up to half of the time
of a forward pass on a CPU.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 1 << 30


def reuse_freed_memory() -> None:
    """Tell glibc's allocator to keep blocks of up to 1 GiB; does nothing on other systems."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST)
    mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
