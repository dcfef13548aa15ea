"""Measure a model on images that are in no folder: those of a torch data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset, IterableDataset

from protoexplain.api.images import as_file
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.records import ImageRecord
from protoexplain.errors import UserError
from protoexplain.explanations.network_input import NetworkInput, read_input
from protoexplain.metrics.base import MetricResult
from protoexplain.metrics.observe.images import Images
from protoexplain.metrics.observe.needs import missing_needs
from protoexplain.metrics.prototype_metrics import PrototypeMetrics
from protoexplain.metrics.registry import list_metrics
from protoexplain.metrics.runner import measurable
from protoexplain.progress import Silent, Watcher

BATCH = 32


def measure_dataset(
    checkpoint: Checkpoint,
    dataset: Dataset[Any],
    metrics: Sequence[str] | None,
    device: torch.device,
    watcher: Watcher | None = None,
) -> dict[str, MetricResult]:
    """Measure a model on all images of a data set.

    Args:
        checkpoint: The model.
        dataset: Map-style or iterable; gives pairs (image, label).  An image is as for `explain`, already cut to the
            object where the model was trained on boxes.  A label is the model's, a whole number from 0; where the
            data set names its ``classes``, it is the number of one of these, which are the model's in any order.
        metrics: Names; by default all that need nothing but images and labels.
        device: Where the model runs.
        watcher: Is shown the progress, and which metrics and images were left out.

    Returns:
        Metric -> its value, interval and baselines.

    Raises:
        UserError: Unknown metric, one that needs parts, masks, boxes or images of other things, other classes, an
            item that is no pair of image and label, or no image that can be read.
    """
    watcher = watcher or Silent()
    name, size = type(dataset).__name__, checkpoint.config.data.image_size
    unannotated = Images(name, (), (), checkpoint.data.crop, size, (), ())
    known = list(metrics) if metrics is not None else list_metrics()
    names = measurable(known, missing_needs(checkpoint, unannotated, None), metrics is not None, watcher)
    labels, found = _labels(checkpoint, dataset), PrototypeMetrics(checkpoint, names, device=device)
    total = None if isinstance(dataset, IterableDataset) else len(dataset)  # type: ignore[arg-type]
    inputs, done = _inputs(dataset, total, labels, size, watcher), 0
    while batch := list(islice(inputs, BATCH)):
        records = [ImageRecord(one.name, Path(), label, "test") for one, label in batch]
        pictures = torch.stack([one.picture for one, _ in batch])
        found.update(pictures, torch.tensor([label for _, label in batch]), records)
        done += len(batch)
        if total is None or done < total:
            watcher.progress("looking at images", done, total or done + 1)
    if not done:
        raise UserError("there is no image to measure on", name, "give a data set with images that can be read")
    watcher.progress("looking at images", done, done)
    return found.compute()


def _inputs(
    dataset: Dataset[Any], total: int | None, labels: Sequence[int], size: int, watcher: Watcher
) -> Iterator[tuple[NetworkInput, int]]:
    """What the network takes of each image, named by its number, and its label; bad images are left out."""
    items = dataset if total is None else (_item(dataset, number) for number in range(total))
    for number, item in enumerate(items):  # type: ignore[arg-type]
        if isinstance(item, OSError | UserError):
            watcher.line(f"left out: image {number}: {item}")
            continue
        image, label = _pair(item, labels, f"{type(dataset).__name__}[{number}]")
        try:
            read = read_input(as_file(image), size, name=f"{number:08}")
        except UserError as error:
            watcher.line(f"left out: image {number}: {error.what}")
            continue
        yield read, label


def _item(dataset: Dataset[Any], number: int) -> Any:  # noqa: ANN401
    """An item, or why its file cannot be read."""
    try:
        return dataset[number]
    except (OSError, UserError) as error:
        return error


def _pair(item: Any, labels: Sequence[int], where: str) -> tuple[Any, int]:  # noqa: ANN401
    """Image and label of the model."""
    if not isinstance(item, Sequence) or len(item) != 2:
        raise UserError("an item of the data set is no pair of image and label", where, "give (image, label)")
    image, label = item
    if label not in range(len(labels)):
        raise UserError(f"{label!r} is no label", where, f"give a whole number from 0 to {len(labels) - 1}")
    return image, labels[int(label)]


def _labels(checkpoint: Checkpoint, dataset: Dataset[Any]) -> list[int]:
    """The model's label of each of the data set's, by name where it names its classes."""
    own, names = checkpoint.classes, getattr(dataset, "classes", None)
    if names is None:
        return list(range(len(own)))
    if sorted(names) != sorted(own):
        raise UserError(
            f"the data set has {len(names)} classes, the model {len(own)}, or their names differ",
            f"{type(dataset).__name__}.classes",
            "give the model's classes, or a data set without `classes` whose labels are the model's",
        )
    return [own.index(name) for name in names]
