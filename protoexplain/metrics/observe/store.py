"""Observations so far, chunk by chunk in files: an interrupted measurement goes on, and processes share results.

A chunk is a fixed run of images; one process computes it for every pass.  The folder of a pass is named by all that
its numbers depend on, so that nothing stale is ever read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

import protoexplain
from protoexplain.errors import UserError
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
        """Whether a chunk is there; one that is damaged is not."""
        path = self._path(name, chunk)
        try:
            return path.is_file() and bool(read_tensors(path))
        except UserError:
            return False

    def write(self, name: str, chunk: int, columns: Mapping[str, Tensor], images: Sequence[str]) -> None:
        """Write the columns [n,...] of a pass over a chunk.

        Args:
            name: Of the pass.
            chunk: Its number.
            columns: What was observed.
            images: Ids [n], for errors.

        Raises:
            UserError: A number is not finite, so that no score could be computed; nothing is written.  Or the file
                cannot be written.
        """
        for column, tensor in columns.items():
            _require_finite(tensor, f"{name}, {column}", images)
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


def _require_finite(column: Tensor, where: str, images: Sequence[str]) -> None:
    """Refuse numbers [n,...] of which one is not finite, with the images that they belong to."""
    bad = ~column.isfinite().flatten(1).all(1) if column.dim() > 1 else ~column.isfinite()
    if not bad.any():
        return
    named = [images[row] for row in bad.nonzero().flatten().tolist()]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    raise UserError(
        f"what the model gives is not finite for {', '.join(named[:3])}{more}",
        where,
        "check the model with 'protoexplain verify', look at these pictures, or measure other metrics (--metrics)",
    )


def split_into_chunks(count: int, size: int) -> list[list[int]]:
    """The numbers 0..count-1 in runs of `size`."""
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]
