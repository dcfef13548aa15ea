"""An old checkpoint with what newer ones hold beside it: what the training images give to its prototypes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from protoexplain.data.loading import batches
from protoexplain.errors import UserError
from protoexplain.io.atomic import write_folder
from protoexplain.io.checkpoint import ACTIVATIONS, PROTOTYPES, Checkpoint
from protoexplain.io.manifest import MANIFEST, MAX_JSON_BYTES, read_limited
from protoexplain.io.prototypes import FORMAT, parse_contents
from protoexplain.io.tensors import write_tensors
from protoexplain.models.activation_statistics import ActivationStatistics, RunningStatistics
from protoexplain.training.journal import Silent, Watcher
from protoexplain.training.splits import read_data_of

_BATCH = 32


def upgrade(path: Path, data: Path, out: Path, watcher: Watcher | None = None) -> Checkpoint:
    """Copy a checkpoint and add usual activations and ranges; weights and measurements stay as they are.

    Args:
        path: The checkpoint; it is not changed.
        data: The data set that it was trained on.
        out: The new checkpoint.
        watcher: Is shown the progress.

    Raises:
        UserError: `out` exists, another data set, or an image that can no longer be read.
    """
    if out.exists():
        raise UserError("there is something under this name already", str(out), "choose another name")
    statistics = training_statistics(Checkpoint.load(path), data, watcher or Silent())
    contents = parse_contents(read_limited(path / PROTOTYPES, MAX_JSON_BYTES), str(path / PROTOTYPES))

    def fill(folder: Path) -> None:
        shutil.copytree(path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        write_tensors(folder / ACTIVATIONS, vars(statistics))
        (folder / PROTOTYPES).write_bytes(replace(contents, format=FORMAT).to_json())

    write_folder(out, fill)
    return Checkpoint.load(out)


@torch.no_grad()
def training_statistics(checkpoint: Checkpoint, data: Path, watcher: Watcher) -> ActivationStatistics:
    """Look at the training images of a data set once.

    Raises:
        UserError: It is not the data set that the model was trained on, or an image can no longer be read.
    """
    read = read_data_of(checkpoint, data)
    if read.image_set.fingerprint() != checkpoint.data.fingerprint:
        raise UserError(
            "this is not the data set that the model was trained on", str(data), f"use {checkpoint.data.name}"
        )
    model, running, done = checkpoint.model(), RunningStatistics(), 0
    dataset = read.dataset(read.train, checkpoint.config.data)
    for batch in batches(dataset, range(len(dataset)), _BATCH):
        running.update(model.maps_by_branch(model.backbone(batch.images[:, 0])))
        done += len(batch.labels)
        watcher.progress("looking at training images", done, len(dataset))
    return running.statistics()
