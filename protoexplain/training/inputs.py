"""What a stage trains on: pictures, cached features where the backbone is frozen, cached activations for the head.

A cache holds every image in several augmented views, computed once in the order of the images; epoch e shows view
e modulo the number of views.  Features lie in a memory-mapped float16 file, activations in memory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from protoexplain.data.loading import ImageDataset, batches

Kind = Literal["images", "features", "activations"]
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
    """Freshly drawn pictures; several views of an image follow each other as [view 1 of all; view 2 of all]."""

    kind: Kind = "images"

    def __init__(self, dataset: ImageDataset, workers: int = 0) -> None:
        self.dataset, self.workers = dataset, workers

    def __len__(self) -> int:
        return len(self.dataset)

    def epoch(self, epoch: int, order: Sequence[int], batch_size: int, start: int = 0) -> Iterator[InputBatch]:
        self.dataset.set_epoch(epoch)
        for batch in batches(self.dataset, order, batch_size, start, self.workers):
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
            if self.kind == "features":
                values = values.permute(0, 3, 1, 2)
            yield InputBatch(values, self.labels[indices], indices)


@torch.no_grad()
def cache(
    kind: Kind,
    compute: Callable[[Tensor], Tensor],
    dataset: ImageDataset,
    draws: int,
    batch_size: int,
    folder: Path,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CachedInputs:
    """Run the frozen part of a model over all pictures once.

    Args:
        kind: ``features`` [D,H,W] or ``activations`` [P] per image.
        compute: Pictures [B,3,S,S] -> values [B,...].
        dataset: Its augmentation is drawn `draws` times; with V views each, that makes draws * V views.
        draws: At least 1.
        batch_size: Pictures per step.
        folder: Holds the file of features.
        workers: Processes that load images.
        progress: Told (done, total) in images.
    """
    views = draws * dataset.views
    labels = torch.tensor([record.label for record in dataset.records])
    store: Tensor | None = None
    for draw in range(draws):
        dataset.set_epoch(CACHE_EPOCH + draw)
        done = 0
        for batch in batches(dataset, range(len(dataset)), batch_size, 0, workers):
            values = torch.stack([compute(view) for view in batch.images.unbind(1)])
            if kind == "features":
                values = values.permute(0, 1, 3, 4, 2).half()
            if store is None:
                store = _storage(kind, (views, len(dataset), *values.shape[2:]), folder)
            store[draw * dataset.views : (draw + 1) * dataset.views, done : done + len(batch.labels)] = values
            done += len(batch.labels)
            if progress:
                progress(draw * len(dataset) + done, draws * len(dataset))
    assert store is not None
    return CachedInputs(kind, store, labels)


def _storage(kind: Kind, shape: tuple[int, ...], folder: Path) -> Tensor:
    if kind == "activations":
        return torch.empty(shape)
    folder.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(suffix=".f16", dir=folder)
    os.close(handle)
    return torch.from_numpy(np.memmap(path, dtype=np.float16, mode="w+", shape=shape))
