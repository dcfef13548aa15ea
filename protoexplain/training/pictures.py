"""The pictures of a run: one set of workers reads all of them, and one limit bounds those that stay decoded."""

from __future__ import annotations

import torch

from protoexplain.config import RunConfig
from protoexplain.data.dataset_view import DatasetView
from protoexplain.data.loading import ImageDataset, Loader
from protoexplain.data.picture_store import PictureStore
from protoexplain.data.records import ImageRecord
from protoexplain.training.inputs import ImageInputs


class Pictures:
    """Training images with random changes, and the images of every split as they are.

    Args:
        data: The images.
        config: Their size and changes, and the number of workers.
        device: Where batches will go.
        processes: How many train together, each with workers of its own.
        decoded_bytes: Most bytes of pictures that stay decoded, over all splits, workers and processes.
    """

    def __init__(
        self, data: DatasetView, config: RunConfig, device: torch.device, processes: int, decoded_bytes: int
    ) -> None:
        self.data = data
        workers, seed = config.data.workers, config.training.seed
        store = PictureStore(decoded_bytes // (max(1, workers) * processes))
        wanted = [(data.train, config.data.augmentation), *((part, "none") for part in _splits(data))]
        made = [(records, data.dataset(records, config.data, name, seed, store)) for records, name in wanted]
        self._augmented = made[0][1]
        self._clean = {id(records): dataset for records, dataset in made[1:]}
        self.loader = Loader([dataset for _, dataset in made], workers, device)

    def dataset(self, records: tuple[ImageRecord, ...], augmented: bool) -> ImageDataset:
        """Pictures of the training images with random changes, or of one of the splits as they are."""
        return self._augmented if augmented else self._clean[id(records)]

    def inputs(self, records: tuple[ImageRecord, ...], augmented: bool) -> ImageInputs:
        """Batches of the same."""
        return ImageInputs(self.dataset(records, augmented), self.loader)


def _splits(data: DatasetView) -> tuple[tuple[ImageRecord, ...], ...]:
    return data.train, data.validation, data.test
