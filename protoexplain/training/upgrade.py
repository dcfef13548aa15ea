"""An old checkpoint with what newer ones hold beside it: the images that it learned from, and how they respond."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from protoexplain.checkpoint.activation_statistics import write_statistics
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.file_names import ACTIVATIONS, MAPS, PROTOTYPES, SPLIT, THUMBS
from protoexplain.checkpoint.prototype_maps import write_maps
from protoexplain.checkpoint.prototypes import FORMAT, PrototypeRecord, parse_contents
from protoexplain.data.dataset_view import DatasetView, matching_view
from protoexplain.data.loading import batches
from protoexplain.devices import AUTO, resolve_device
from protoexplain.errors import UserError
from protoexplain.io.atomic import require_writable, write_folder
from protoexplain.io.manifest import MAX_JSON_BYTES, read_limited
from protoexplain.models.base import PrototypeModel
from protoexplain.progress import Silent, Watcher
from protoexplain.regions.box_rules import DEFAULT
from protoexplain.regions.patch_boxes import MarkedRecords
from protoexplain.training.projection import LatentBatch, latent_batches
from protoexplain.training.provenance import cut_out
from protoexplain.training.responses import responses

_BATCH = 32


def upgrade(path: Path, data: Path, out: Path, watcher: Watcher | None = None, device: str = AUTO) -> Checkpoint:
    """Copy a checkpoint and add usual activations and ranges, the activation maps of its prototypes over their training
    images, and the ids of its images; weights and measurements stay as they are.

    Boxes of training patches are drawn by the rule of today.

    Args:
        path: The checkpoint; it is not changed.
        data: The data set that it was trained on.
        out: The new checkpoint.
        watcher: Is shown the progress.
        device: Where the model runs, as `resolve_device`.

    Raises:
        UserError: `out` exists, another data set, an image that can no longer be read, or there is no such device.
    """
    where = resolve_device(device)
    if out.exists():
        raise UserError("there is something under this name already", str(out), "choose another name")
    require_writable(out.parent)
    checkpoint = Checkpoint.load(path)
    view = matching_view(checkpoint, data)
    if not view.as_trained:
        raise UserError(
            "this is not the data set that the model was trained on", str(data), f"use {checkpoint.data.name}"
        )
    model, maps = checkpoint.model(where), _PrototypeMaps(checkpoint, view)
    pictures = _pictures(checkpoint, view, where, watcher or Silent())
    seen = maps.gathered(model, latent_batches(model, pictures))
    statistics = responses(model, seen, len(view.train)).statistics
    contents = parse_contents(read_limited(path / PROTOTYPES, MAX_JSON_BYTES), str(path / PROTOTYPES))
    records = tuple(MarkedRecords(checkpoint.prototypes, maps.found, DEFAULT, checkpoint.config.data.image_size))
    patches = {} if model.prototype_source.decoded else _patches(checkpoint, view, records)

    def fill(folder: Path) -> None:
        checkpoint.copy_files(folder)
        write_statistics(folder / ACTIVATIONS, statistics)
        write_maps(folder / MAPS, maps.found)
        (folder / SPLIT).write_bytes(view.split_ids.to_json())
        (folder / PROTOTYPES).write_bytes(replace(contents, format=FORMAT, prototypes=records).to_json())
        for name, picture in patches.items():
            (folder / THUMBS / name).write_bytes(picture)

    write_folder(out, fill)
    return Checkpoint.load(out)


class _PrototypeMaps:
    """The activation map of each prototype, as it was before it was written, over its training image.

    Args:
        checkpoint: Of the prototypes.
        view: Its images.
    """

    def __init__(self, checkpoint: Checkpoint, view: DatasetView) -> None:
        self.found: list[Tensor | None] = [None] * len(checkpoint.prototypes)
        self._before_projection = checkpoint.before_projection()
        numbers = {record.id: number for number, record in enumerate(view.train)}
        self._wanted: dict[tuple[int, str], list[PrototypeRecord]] = defaultdict(list)
        for record in checkpoint.prototypes:
            if record.image_id in numbers:
                self._wanted[numbers[record.image_id], record.branch].append(record)

    def gathered(self, model: PrototypeModel, seen: Iterable[LatentBatch]) -> Iterator[LatentBatch]:
        """The same batches; their maps are found while they pass by."""
        for latents, labels, indices in seen:
            start = 0
            for z, (name, branch) in zip(latents, model.named_branches(), strict=True):
                learned = self._before_projection.get(name, branch.prototypes.detach())
                for row, image in enumerate(indices.tolist()):
                    own = [record.index for record in self._wanted.get((image, name), ())]
                    if own:
                        places = torch.tensor([index - start for index in own])
                        similarity = branch.similarity.maps(z[row : row + 1], learned[places].to(z))
                        maps = branch.activation_maps(similarity, places.to(z.device))[0].cpu()
                        for index, each in zip(own, maps, strict=True):
                            self.found[index] = each
                start += len(branch.prototypes)
            yield latents, labels, indices


def _patches(checkpoint: Checkpoint, view: DatasetView, records: Sequence[PrototypeRecord]) -> dict[str, bytes]:
    """The pictures of the patches whose boxes are others now, by file."""
    images, size = {image.id: image for image in view.train}, checkpoint.config.data.image_size
    found = {}
    for record, old in zip(records, checkpoint.prototypes, strict=True):
        if record != old:
            _, pictures = cut_out(images[str(record.image_id)], [record], view.crop, size)
            found[str(record.patch)] = pictures[str(record.patch)]
    return found


def _pictures(
    checkpoint: Checkpoint, view: DatasetView, device: torch.device, watcher: Watcher
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Images [B,3,S,S], labels and indices of all training images, on the device."""
    dataset, done = view.dataset(view.train, checkpoint.config.data), 0
    for batch in batches(dataset, range(len(dataset)), _BATCH):
        yield batch.images[:, 0].to(device), batch.labels.to(device), batch.indices.to(device)
        done += len(batch.labels)
        watcher.progress("looking at training images", done, len(dataset))
