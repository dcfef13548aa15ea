"""Observations so far, chunk by chunk in files: an interrupted measurement goes on, and processes share results.

A chunk is a fixed run of images; one process computes it for every pass.  The folder of a pass is named by all that
its numbers depend on, so that nothing stale is ever read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

import protoexplain
from protoexplain.io.atomic import write_file
from protoexplain.io.tensors import read_tensors


class ChunkStore:
    """Columns of passes in files.

    Args:
        folder: May hold chunks of earlier attempts.
        key: All that passes depend on beside their own settings.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._key = folder, f"{protoexplain.__version__}|{key}"

    def has(self, name: str, chunk: int) -> bool:
        return self._path(name, chunk).is_file()

    def write(self, name: str, chunk: int, columns: Mapping[str, Tensor]) -> None:
        """Write the columns [n,...] of a pass over a chunk."""
        kind = torch.contiguous_format
        plain = {column: tensor.detach().cpu().clone(memory_format=kind) for column, tensor in columns.items()}
        write_file(self._path(name, chunk), save(plain))

    def read(self, name: str, chunk: int) -> dict[str, Tensor]:
        """The columns of one chunk.

        Raises:
            UserError: The file is damaged.
        """
        return read_tensors(self._path(name, chunk))

    def table(self, name: str, chunks: int) -> dict[str, Tensor]:
        """The columns [N,...] over all chunks."""
        parts = [self.read(name, chunk) for chunk in range(chunks)]
        return {column: torch.cat([part[column] for part in parts]) for column in parts[0]}

    def _path(self, name: str, chunk: int) -> Path:
        digest = hashlib.sha256(f"{self._key}|{name}".encode()).hexdigest()
        return self._folder / digest[:24] / f"{chunk:05}.safetensors"


def split_into_chunks(count: int, size: int) -> list[list[int]]:
    """The numbers 0..count-1 in runs of `size`."""
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]
