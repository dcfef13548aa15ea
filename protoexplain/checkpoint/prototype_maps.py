"""Where each prototype was active in its training picture: the file maps.safetensors of a checkpoint.

With its map any rule for boxes can be applied to the training patch of a prototype, not only the one that was recorded.
The maps lie one after the other in one tensor, and their sizes in another, so that prototypes may have maps of
different sizes or none.  Numbers are float32: in half precision the peak would no longer be the only one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.errors import UserError
from protoexplain.io.tensors import read_tensors, write_tensors

_ACTIVATIONS, _SIZES = "activations", "sizes"


def write_maps(path: Path, maps: Sequence[Tensor | None]) -> None:
    """Write the map [H,W] of each prototype, None where there is none."""
    flat = [found.detach().cpu().float().flatten() for found in maps if found is not None]
    sizes = [(0, 0) if found is None else tuple(found.shape) for found in maps]
    activations = torch.cat(flat) if flat else torch.empty(0)
    write_tensors(path, {_ACTIVATIONS: activations, _SIZES: torch.tensor(sizes).view(-1, 2)})


def read_maps(path: Path, records: Sequence[PrototypeRecord]) -> tuple[Tensor | None, ...]:
    """The map [H,W] of each prototype, None where there is none.

    Raises:
        UserError: The file is damaged, or holds the maps of other prototypes.
    """
    tensors = read_tensors(path)
    activations, sizes = tensors.get(_ACTIVATIONS), tensors.get(_SIZES)
    found = [] if sizes is None else sizes.tolist()
    known = [(0, 0) if r.image_id is None else (r.map_height, r.map_width) for r in records]
    fits = len(found) == len(known) and all(tuple(a) in ((0, 0), b) for a, b in zip(found, known, strict=True))
    counts = [height * width for height, width in found] if fits else []
    if activations is None or not fits or activations.dtype != torch.float32 or activations.shape != (sum(counts),):
        raise UserError(
            f"{path.name} does not hold the maps of these {len(known)} prototypes",
            str(path),
            "use a checkpoint as the program wrote it",
        )
    parts = activations.split(counts)
    return tuple(part.view(size) if part.numel() else None for part, size in zip(parts, found, strict=True))
