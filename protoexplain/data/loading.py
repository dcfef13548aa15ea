"""From records to pictures and batches.  A picture depends only on (seed, epoch, index), never on workers or order.

Pictures are floats in [0, 1]; models normalise inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from protoexplain.data.augmentation import find_augmentation
from protoexplain.data.check import for_each
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.picture_store import PictureStore, Place
from protoexplain.data.records import ImageRecord
from protoexplain.data.source import Problems
from protoexplain.data.warps import Frame
from protoexplain.errors import UserError
from protoexplain.io.images import load_image, verify_image
from protoexplain.io.shards import file_state
from protoexplain.progress import Progress

Crop = Literal["box", "full"]
_MEND = "mend the annotation or leave the image out"
_PICTURE = 2
"""Stream of random numbers, the first word of every generator's seed; that of orders is another."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A batch.

    Args:
        images: float32 [B, V, 3, S, S] in [0, 1].
        labels: int64 [B].
        indices: int64 [B], into the dataset's records.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor

    def pin_memory(self) -> Batch:
        """The same in page-locked memory, from which CUDA copies without waiting."""
        return Batch(self.images.pin_memory(), self.labels.pin_memory(), self.indices.pin_memory())


class ImageDataset(Dataset[tuple[Tensor, int, int]]):
    """Pictures of records, cut, resized and augmented.

    Args:
        records: The images; no file is opened yet.
        crop: ``box`` cuts to each record's box, ``full`` takes the whole image.
        size: Side S of the pictures.
        augmentation: Name of an augmentation; ``none`` gives the test-time picture.
        seed: Seed of the augmentation, not negative.
        store: Where prepared pictures are kept, which several data sets may share; whoever looks at the pictures once
            keeps none.

    Raises:
        UserError: Unknown augmentation; or ``box`` where a record has none.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        crop: Crop,
        size: int,
        augmentation: str = "none",
        seed: int = 0,
        store: PictureStore | None = None,
    ) -> None:
        self.records, self.crop, self.size, self.seed = tuple(records), crop, size, seed
        self.augmentation = find_augmentation(augmentation)
        self.epoch = 0
        self._cache: dict[int, tuple[Place, int, int]] = {}
        self._store = store or PictureStore(0)
        boxless = [record.id for record in records if crop == "box" and record.box is None]
        if boxless:
            raise UserError(
                f"{len(boxless)} of {len(records)} images have no box to cut to",
                boxless[0],
                "set crop to 'full', or add the boxes",
            )

    @property
    def views(self) -> int:
        """Number V of pictures of each image."""
        return self.augmentation.views

    def set_epoch(self, epoch: int) -> None:
        """Choose which random pictures are drawn."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        """(float32 [V, 3, S, S] in [0, 1], label, index).

        Raises:
            UserError: The file cannot be read, or its box lies outside the image.
        """
        return self.pixels(index).float().div_(255), self.records[index].label, index

    def pixels(self, index: int) -> Tensor:
        """The pictures as uint8 [V, 3, S, S]."""
        rng = np.random.default_rng([_PICTURE, self.seed, self.epoch, index])
        return self.augmentation.apply(self._prepared(index), self.size, rng)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_cache": {}}

    def _prepared(self, index: int) -> Frame:
        if index in self._cache:
            place, width, height = self._cache[index]
            return Frame(self._store.get(place), width, height)
        record = self.records[index]
        loaded = load_image(record.path)
        geometry = geometry_of(record, loaded.size, self.crop, self.size)
        frame = self.augmentation.prepare(loaded.region(geometry.crop.as_list()), self.size)
        stored = self._store.put(frame.rgb)
        if stored is not None:
            self._cache[index] = stored, frame.width, frame.height
        return frame


def geometry_of(record: ImageRecord, source_size: tuple[int, int], crop: Crop, size: int) -> Geometry:
    """How a record of an image of (width, height) becomes a picture of side `size`.

    Raises:
        UserError: The box lies outside the image or is narrower than a pixel.
    """
    if crop == "full" or record.box is None:
        return Geometry.of(source_size, None, size)
    if fault := _box_fault(record, source_size):
        raise UserError(fault, str(record.path), _MEND)
    return Geometry.of(source_size, record.box, size)


def _box_fault(record: ImageRecord, size: tuple[int, int]) -> str | None:
    """Why a box cannot be cut out of an image of (width, height)."""
    if record.box is None or Box(*map(int, record.box.as_list())).clipped(*size).area >= 1:
        return None
    return f"the box {record.box.as_list()} holds no pixel of the image of {size[0]} x {size[1]} pixels"


def cut(rgb: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The cropped region of uint8 [H, W, 3], contiguous."""
    x0, y0, x1, y1 = map(int, geometry.crop.as_list())
    return np.ascontiguousarray(rgb[y0:y1, x0:x1])


_verified: dict[tuple[Path, int, int], str | tuple[int, int]] = {}
"""The size of a file that can be decoded, or why it cannot."""


def readable(
    records: Sequence[ImageRecord], progress: Progress | None = None, of: int = 0
) -> tuple[list[ImageRecord], tuple[str, ...]]:
    """Sort out the images that cannot be decoded, and those whose box lies outside; a file is decoded once in the life
    of the program.

    Args:
        records: The images.
        progress: Told (done, total) in images.
        of: Number of images of the whole data set, where these are a part of it.

    Returns:
        The good records in order, and for each other one a sentence with its file and the reason.

    Raises:
        UserError: Too many boxes lie outside, by the rule for all annotations.
    """
    seen = for_each(records, lambda record: _looked_at(record.path), progress)
    problems = Problems()
    reasons = []
    for record, found in zip(records, seen, strict=True):
        reasons.append(found if isinstance(found, str) else _box_fault(record, found))
        if reasons[-1] is not None and not isinstance(found, str):
            problems.leave_out("boxes outside their image", f"{record.path}: {reasons[-1]}")
    if records:
        problems.require_few(max(of, len(records)), records[0].path.parent, _MEND)
    pairs = list(zip(records, reasons, strict=True))
    return (
        [record for record, reason in pairs if reason is None],
        tuple(f"{record.path}: {reason}" for record, reason in pairs if reason is not None),
    )


def _looked_at(path: Path) -> str | tuple[int, int]:
    """(width, height) of a picture that can be decoded, or why it cannot."""
    try:
        key = (path, *file_state(path))
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    if key not in _verified:
        try:
            _verified[key] = verify_image(path)
        except UserError as error:
            _verified[key] = error.what
    return _verified[key]


@dataclass(frozen=True, slots=True)
class _Request:
    """A batch that is to be read: which data set, with the random changes of which epoch, which images."""

    dataset: int
    epoch: int
    indices: list[int]


class Loader:
    """Reads batches of data sets in worker processes that stay for all passes over them, until it is closed.

    Requests say which data set and epoch they mean, so that nothing has to be told to a worker but its requests.
    One pass is made at a time.

    Args:
        datasets: All that batches will be asked of.
        workers: Processes that read, started with the first batch; 0 reads here.
        device: Where batches will go; those for CUDA lie in page-locked memory.
    """

    def __init__(
        self, datasets: Sequence[ImageDataset], workers: int = 0, device: torch.device = torch.device("cpu")
    ) -> None:
        self._datasets = tuple(datasets)
        self._requests: list[_Request] = []
        self._passes = 0
        self._reader = DataLoader(
            _BatchReader(self._datasets),
            batch_sampler=self._requests,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=_as_is,  # type: ignore[arg-type]
            generator=torch.Generator(),
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
        )

    def batches(
        self,
        dataset: ImageDataset,
        order: Sequence[int],
        batch_size: int,
        start_batch: int = 0,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        """Batches of a data set in the given order, from `start_batch` on; global random states are left alone.

        Raises:
            UserError: A picture cannot be read (as from the dataset, also out of a worker process).
            RuntimeError: Another pass was begun before this one ended.
        """
        place, groups = self._datasets.index(dataset), range(0, len(order), batch_size)
        requests = [_Request(place, dataset.epoch, list(order[i : i + batch_size])) for i in groups]
        if drop_last and requests and len(requests[-1].indices) < batch_size:
            requests.pop()
        self._requests[:] = requests[start_batch:]
        self._passes += 1
        own = self._passes
        for batch in self._reader if self._requests else ():
            if isinstance(batch, UserError):
                raise batch
            yield batch
            if own != self._passes:
                raise RuntimeError("a loader makes one pass at a time")

    def close(self) -> None:
        """End the workers now; whatever holds a pass, such as the traceback of an error, would keep them for longer."""
        del self._reader


def batches(
    dataset: ImageDataset,
    order: Sequence[int],
    batch_size: int,
    start_batch: int = 0,
    workers: int = 0,
    drop_last: bool = False,
) -> Iterator[Batch]:
    """A single pass over a data set, as `Loader.batches`; its workers end with it."""
    with closing(Loader([dataset], workers)) as loader:
        yield from loader.batches(dataset, order, batch_size, start_batch, drop_last)


class _BatchReader(Dataset[Batch]):
    """Reads whole batches; an error is handed over as a value: a worker would bury it in a traceback."""

    def __init__(self, datasets: Sequence[ImageDataset]) -> None:
        self.datasets = datasets

    def __getitems__(self, request: _Request) -> Batch | UserError:
        dataset = self.datasets[request.dataset]
        dataset.set_epoch(request.epoch)
        try:
            views = torch.stack([dataset.pixels(index) for index in request.indices], 1)
        except UserError as error:
            return error
        labels = torch.tensor([dataset.records[index].label for index in request.indices])
        return Batch(views.float().div_(255).transpose(0, 1), labels, torch.tensor(request.indices))


def _as_is(batch: Batch | UserError) -> Batch | UserError:
    return batch
