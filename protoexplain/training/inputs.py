"""What a stage trains on: pictures, cached features where the backbone is frozen, cached activations for the head.

Where only the first layers are frozen, what they make of the pictures (the stem) is cached.  A cache holds every image
in several augmented views, computed once in the order of the images; epoch e shows view e modulo the number of views.
It lies in memory-mapped files, maps in float16 and activations in float32.  Each process computes a part of the images
and writes a file of its own, a shard; all read the shards of all, which a computer keeps in memory once for its
processes, as far as there is room.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from protoexplain.data.loading import ImageDataset, Loader
from protoexplain.data.orders import block
from protoexplain.io.scratch import reserve

if TYPE_CHECKING:
    from lightning_fabric import Fabric

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
    """Values computed beforehand.

    Args:
        kind: Of the values.
        shards: [V,n,...] each, of images that follow each other over all shards.
        labels: [N] of all images.
    """

    def __init__(self, kind: Kind, shards: Sequence[Tensor], labels: Tensor) -> None:
        self.kind, self.shards, self.labels = kind, tuple(shards), labels
        self._ends = torch.tensor([shard.shape[1] for shard in shards]).cumsum(0)

    def __len__(self) -> int:
        return len(self.labels)

    def epoch(self, epoch: int, order: Sequence[int], batch_size: int, start: int = 0) -> Iterator[InputBatch]:
        for first in range(start * batch_size, len(order), batch_size):
            indices = torch.tensor(order[first : first + batch_size])
            values = self._view(epoch % len(self.shards[0]), indices).float()
            if self.kind in MAPS:
                values = values.permute(0, 3, 1, 2)
            yield InputBatch(values, self.labels[indices], indices)

    def _view(self, view: int, indices: Tensor) -> Tensor:
        """A view of images, from the shards in which they lie."""
        if len(self.shards) == 1:
            return self.shards[0][view].index_select(0, indices)
        places, first = torch.bucketize(indices, self._ends, right=True), self.shards[0]
        found = first.new_empty(len(indices), *first.shape[2:])
        for place in places.unique().tolist():
            mine, start = places == place, self._ends[place] - self.shards[place].shape[1]
            found[mine] = self.shards[place][view].index_select(0, indices[mine] - start)
        return found


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
        fabric: Processes.
        kind: ``stem`` or ``features`` [D,H,W], or ``activations`` [P] per image.
        compute: Pictures [B,3,S,S] -> values [B,...] on the CPU.
        pictures: Not empty; their augmentation is drawn `draws` times; with V views each, that makes draws * V views.
        draws: At least 1.
        batch_size: Pictures per step.
        folder: Holds the files; that of the first process for all, which all computers see under this path.
        progress: Told (done, total) in images of this process.

    Raises:
        UserError: A picture cannot be read, or the disk is too full.
    """
    dataset, rank = pictures.dataset, fabric.global_rank
    parts = [block(len(dataset), each, fabric.world_size) for each in range(fabric.world_size)]
    own, place = parts[rank], fabric.broadcast(_new_folder(folder) if rank == 0 else Path())
    store: np.memmap | None = None
    for draw in range(draws):
        dataset.set_epoch(CACHE_EPOCH + draw)
        views, done = slice(draw * dataset.views, (draw + 1) * dataset.views), 0
        for batch in pictures.loader.batches(dataset, own, batch_size):
            values = torch.stack([compute(view) for view in batch.images.unbind(1)])
            if kind in MAPS:
                values = values.permute(0, 1, 3, 4, 2)
            if store is None:
                store = _new_shard(place / str(rank), kind, (draws * dataset.views, len(own), *values.shape[2:]))
            store[views, done : done + len(batch.labels)] = values
            done += len(batch.labels)
            if progress:
                progress(draw * len(own) + done, draws * len(own))
    labels = torch.tensor([record.label for record in dataset.records])
    return CachedInputs(kind, _all_shards(fabric, kind, store, place, parts), labels)


def _new_folder(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="cache-", dir=folder))


def _new_shard(path: Path, kind: Kind, shape: tuple[int, ...]) -> np.memmap:
    with path.open("wb") as stream:
        reserve(stream, _type(kind).itemsize * math.prod(shape), path)
    return np.memmap(path, _type(kind), "r+", shape=shape)


def _type(kind: Kind) -> np.dtype:
    return np.dtype(np.float16 if kind in MAPS else np.float32)


def _all_shards(fabric: Fabric, kind: Kind, own: np.memmap | None, place: Path, parts: Sequence[range]) -> list[Tensor]:
    """What the processes have written, once all have; one without images, which is never the last, has no shard."""
    if own is not None:
        own.flush()
    fabric.barrier()
    views, _, *rest = fabric.broadcast(() if own is None else own.shape, src=fabric.world_size - 1)
    return [
        torch.from_numpy(np.memmap(place / str(rank), _type(kind), "c", shape=(views, len(part), *rest)))
        for rank, part in enumerate(parts)
        if part
    ]
