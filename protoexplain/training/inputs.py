"""What a stage trains on: pictures, cached features where the backbone is frozen, cached activations for the head.

Where only the first layers are frozen, what they make of the pictures (the stem) is cached.  A cache holds every image
in several augmented views, computed once in the order of the images; epoch e shows view e modulo the number of views.
Maps lie in a memory-mapped float16 file, activations in memory.  Of several
processes each computes a part, and all see the whole.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from protoexplain.data.loading import ImageDataset, Loader
from protoexplain.data.orders import block
from protoexplain.io.scratch import reserve

Kind = Literal["images", "stem", "features", "activations"]
MAPS: tuple[Kind, ...] = ("stem", "features")
CACHE_EPOCH = 1_000_000_000
"""Number of the first epoch whose random pictures fill caches, far from the epochs of training."""


@dataclass(frozen=True)
class InputBatch:
    """Args: values for the model; labels [B]; indices [B] of the images."""

    values: Tensor
    labels: Tensor
    indices: Tensor


class Inputs(Protocol):
    """Batches of one kind."""

    kind: Kind

    def __len__(self) -> int: ...

    def epoch(self, epoch: int, order: Sequence[int], batch_size: int, start: int = 0) -> Iterator[InputBatch]:
        """Batches of an epoch in the given order of images, from batch `start` on."""


class ImageInputs:
    """Freshly drawn pictures; several views of an image follow each other as [view 1 of all; view 2 of all].

    Args:
        dataset: The pictures.
        loader: Reads them; by default they are read here.
    """

    kind: Kind = "images"

    def __init__(self, dataset: ImageDataset, loader: Loader | None = None) -> None:
        self.dataset, self.loader = dataset, loader or Loader([dataset])

    def __len__(self) -> int:
        return len(self.dataset)

    def epoch(self, epoch: int, order: Sequence[int], batch_size: int, start: int = 0) -> Iterator[InputBatch]:
        self.dataset.set_epoch(epoch)
        for batch in self.loader.batches(self.dataset, order, batch_size, start):
            views = batch.images.shape[1]
            yield InputBatch(
                batch.images.transpose(0, 1).flatten(0, 1),
                batch.labels.repeat(views),
                batch.indices.repeat(views),
            )


class CachedInputs:
    """Values [V,N,...] computed beforehand."""

    def __init__(self, kind: Kind, values: Tensor, labels: Tensor) -> None:
        self.kind, self.values, self.labels = kind, values, labels

    def __len__(self) -> int:
        return len(self.labels)

    def epoch(self, epoch: int, order: Sequence[int], batch_size: int, start: int = 0) -> Iterator[InputBatch]:
        view = self.values[epoch % len(self.values)]
        for first in range(start * batch_size, len(order), batch_size):
            indices = torch.tensor(order[first : first + batch_size])
            values = view.index_select(0, indices).float()
            if self.kind in MAPS:
                values = values.permute(0, 3, 1, 2)
            yield InputBatch(values, self.labels[indices], indices)


@torch.no_grad()
def cache(
    fabric: Fabric,
    kind: Kind,
    compute: Callable[[Tensor], Tensor],
    pictures: ImageInputs,
    draws: int,
    batch_size: int,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> CachedInputs:
    """Run the frozen part of a model over all pictures once; each process takes a part of the images.

    Args:
        fabric: Processes, all on one machine.
        kind: ``stem`` or ``features`` [D,H,W], or ``activations`` [P] per image.
        compute: Pictures [B,3,S,S] -> values [B,...] on the CPU.
        pictures: Not empty; their augmentation is drawn `draws` times; with V views each, that makes draws * V views.
        draws: At least 1.
        batch_size: Pictures per step.
        folder: Holds the file of features, that of the first process for all.
        progress: Told (done, total) in images of this process.

    Raises:
        UserError: A picture cannot be read, or the disk is too full.
    """
    dataset = pictures.dataset
    own = block(len(dataset), fabric.global_rank, fabric.world_size)
    file = fabric.broadcast(_new_file(folder) if kind in MAPS and fabric.global_rank == 0 else None)
    store: Tensor | None = None
    for draw in range(draws):
        dataset.set_epoch(CACHE_EPOCH + draw)
        views, done = slice(draw * dataset.views, (draw + 1) * dataset.views), 0
        for batch in pictures.loader.batches(dataset, own, batch_size):
            values = torch.stack([compute(view) for view in batch.images.unbind(1)])
            if kind in MAPS:
                values = values.permute(0, 1, 3, 4, 2).half()
            if store is None:
                store = _storage(file, (draws * dataset.views, len(dataset), *values.shape[2:]))
            store[views, own.start + done : own.start + done + len(batch.labels)] = values
            done += len(batch.labels)
            if progress:
                progress(draw * len(own) + done, draws * len(own))
    labels = torch.tensor([record.label for record in dataset.records])
    return CachedInputs(kind, _shared(fabric, store, file), labels)


def _new_file(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(suffix=".f16", dir=folder, delete=False) as stream:
        return Path(stream.name)


def _storage(file: Path | None, shape: tuple[int, ...]) -> Tensor:
    """Zeros, in memory or in a file that other processes may have written to already."""
    if file is None:
        return torch.zeros(shape)
    with file.open("r+b") as stream:
        reserve(stream, 2 * math.prod(shape), file)
    return torch.from_numpy(np.memmap(file, dtype=np.float16, mode="r+", shape=shape))


def _shared(fabric: Fabric, store: Tensor | None, file: Path | None) -> Tensor:
    """What all processes together have written; None comes from a process that had no image, never from the last."""
    fabric.barrier()
    shape: tuple[int, ...] = fabric.broadcast(() if store is None else tuple(store.shape), src=fabric.world_size - 1)
    whole = _storage(file, shape) if store is None else store
    if file is not None:
        return whole
    total = fabric.all_reduce(whole, reduce_op="sum")
    assert isinstance(total, Tensor)
    return total.cpu()
