"""Observe a checkpoint on images: every pass runs once over every chunk of images, and its columns go to files.

Each process observes its own chunks; the first process gets the table of all of them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.geometry import Geometry
from protoexplain.data.interventions import Interventions
from protoexplain.data.loading import batches
from protoexplain.data.records import ImageRecord
from protoexplain.metrics.base import Metric
from protoexplain.metrics.observe.images import Images, sample_training_images
from protoexplain.metrics.observe.model_description import ModelDescription, describe_model
from protoexplain.metrics.observe.observations import Columns, Observations
from protoexplain.metrics.observe.passes import Chunk, Pass
from protoexplain.metrics.observe.patches import TrainingPatches
from protoexplain.metrics.observe.plan import Kind, plan_passes
from protoexplain.metrics.observe.store import ChunkStore, split_into_chunks
from protoexplain.metrics.observe.swapped import OTHERS, PATCHES, swapped_models
from protoexplain.metrics.settings import MeasureSettings
from protoexplain.models.backbones import Backbone, before_training
from protoexplain.models.base import PrototypeModel
from protoexplain.models.family import FamilyConfig
from protoexplain.progress import Watcher

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def observe(
    checkpoint: Checkpoint,
    images: Images,
    foreign: Images | None,
    metrics: Sequence[Metric],
    settings: MeasureSettings,
    folder: Path,
    fabric: Fabric,
    watcher: Watcher,
) -> Observations | None:
    """Make all passes that the metrics need.

    Args:
        checkpoint: The model.
        images: The test images.
        foreign: Images of things that the model does not know, where there are such.
        metrics: Their passes are made.
        settings: What the metrics share.
        folder: Holds the chunks that were observed so far.
        fabric: Devices and processes, launched.
        watcher: Is shown the progress.

    Returns:
        The observations in the first process, None in the others.
    """
    kinds = {kind for metric in metrics for kind in metric.passes}
    training_kinds = {kind for metric in metrics for kind in metric.training}
    networks = Networks.of(checkpoint, kinds, settings, fabric.device)
    sample = sample_training_images(images, settings.training_images, settings.seed) if training_kinds else None
    if "swapped" in kinds and sample is not None:
        sources = {PATCHES: sample, **({OTHERS: foreign} if foreign else {})}
        networks = networks.with_swapped(sources, settings.seed)
    observer = _Observer(networks, checkpoint, settings, folder, fabric, watcher)
    columns = observer.run(images, plan_passes(kinds, settings), "looking at test images")
    foreign_columns = training_columns = None
    if foreign:
        foreign_columns = observer.run(foreign, plan_passes({"scores"}, settings), "looking at foreign images")
    if sample is not None:
        training_columns = observer.run(sample, plan_passes(training_kinds, settings), "looking at training images")
    if columns is None:
        return None
    return Observations(
        networks.description,
        images.ids,
        images.labels,
        columns,
        settings,
        images.fingerprint,
        images.parts(),
        foreign_columns,
        training_columns,
        TrainingPatches(checkpoint.prototypes, images.training, images.crop),
        images.interventions.class_parts if images.interventions else None,
    )


@dataclass(frozen=True)
class Networks:
    """The networks that passes run.

    Args:
        model: In eval mode.
        description: Of the model.
        before: The model with its prototypes from before projection, where a pass needs it.
        frozen: The backbone as it was before the training, where a pass needs it and its weights are at hand.
        swapped: Copies of the model with other prototypes, where a pass needs them.
        swapped_from: Names the images that these are patches of.
    """

    model: PrototypeModel
    description: ModelDescription
    before: PrototypeModel | None
    frozen: Backbone | None
    swapped: Mapping[str, PrototypeModel] = field(default_factory=dict)
    swapped_from: str = ""

    def with_swapped(self, sources: Mapping[str, Images], seed: int) -> Networks:
        """The same with copies of the model whose prototypes are patches of images, or random numbers."""
        swapped = swapped_models(self.model, {name: images.dataset() for name, images in sources.items()}, seed)
        names = "|".join(images.inputs_fingerprint for images in sources.values())
        return replace(self, swapped=swapped, swapped_from=names)

    @classmethod
    def of(cls, checkpoint: Checkpoint, kinds: Set[Kind], settings: MeasureSettings, device: torch.device) -> Networks:
        """Load what these kinds of passes need of a checkpoint."""
        model, size = checkpoint.model(device), checkpoint.config.data.image_size
        return cls(
            model,
            describe_model(model, checkpoint.classes, size, settings.shared_per_class),
            before_projection(checkpoint, model) if "unprojected" in kinds else None,
            _backbone_before_training(checkpoint, device) if "cells" in kinds else None,
        )

    def chunk(
        self,
        images: Tensor,
        labels: Tensor,
        records: Sequence[ImageRecord],
        geometries: Sequence[Geometry],
        interventions: Interventions | None = None,
    ) -> Chunk:
        """Images [n,3,S,S] on the device with labels [n], for all passes."""
        given = self.model, self.description, images, labels, records, geometries
        return Chunk(*given, self.before, self.frozen, interventions, self.swapped)


def before_projection(checkpoint: Checkpoint, model: PrototypeModel) -> PrototypeModel:
    """A copy of the model with its prototypes from before projection."""
    before, before_projection = copy.deepcopy(model), checkpoint.before_projection()
    for name, branch in before.named_branches():
        branch.prototypes.data = before_projection[name].to(branch.prototypes)
    return before


def _backbone_before_training(checkpoint: Checkpoint, device: torch.device) -> Backbone | None:
    """The backbone with the weights that the training started from, None where they are not at hand."""
    assert isinstance(checkpoint.config.model, FamilyConfig)
    with torch.random.fork_rng(devices=[]):
        backbone = before_training(checkpoint.config.model.backbone)
    return None if backbone is None else backbone.eval().to(device)


@dataclass(frozen=True)
class _Observer:
    """Runs passes over images."""

    networks: Networks
    checkpoint: Checkpoint
    settings: MeasureSettings
    folder: Path
    fabric: Fabric
    watcher: Watcher

    @torch.no_grad()
    def run(self, images: Images, passes: Sequence[Pass], what: str) -> dict[str, Columns] | None:
        """The columns of all passes, in the first process; chunks whose files are there are not observed again."""
        size = self.settings.batch_size
        shared, frozen = self.networks.description.shared_per_class, self.networks.frozen is not None
        model = f"{self.checkpoint.weights_sha256}|{shared}|{frozen}|{self.networks.swapped_from}"
        store = ChunkStore(self.folder, f"{model}|{images.inputs_fingerprint}|{size}")
        chunks = split_into_chunks(len(images.records), size)
        own = range(self.fabric.global_rank, len(chunks), self.fabric.world_size)
        todo = [number for number in own if not all(store.has(repr(one), number) for one in passes)]
        cost = sum(one.cost for one in passes)
        total = cost * sum(len(chunks[number]) for number in own)
        done = total - cost * sum(len(chunks[number]) for number in todo)
        order = [index for number in todo for index in chunks[number]]
        workers = self.checkpoint.config.data.workers
        for number, batch in zip(todo, batches(images.dataset(), order, size, 0, workers), strict=True):
            chunk = self._chunk(images, chunks[number], batch.images[:, 0])
            for one in passes:
                work = one.cost * len(chunks[number])
                if not store.has(repr(one), number):
                    chunk.tell = partial(self._tell, what, done, work, total)
                    store.write(repr(one), number, one(chunk), [images.records[index].id for index in chunks[number]])
                done += work
                self.watcher.progress(what, done, total)
        self.fabric.barrier()
        if self.fabric.global_rank != 0:
            return None
        return {one.name: store.table(repr(one), len(chunks)) for one in passes}

    def _tell(self, what: str, done: int, work: int, total: int, share: float) -> None:
        """Say how far a pass has come; its end is said when its columns are kept."""
        if share < 1:
            self.watcher.progress(what, done + int(share * work), total)

    def _chunk(self, images: Images, indices: Sequence[int], pictures: Tensor) -> Chunk:
        records = [images.records[index] for index in indices]
        geometries = [images.geometries[index] for index in indices]
        labels, given = images.labels[indices], pictures.to(self.fabric.device)
        return self.networks.chunk(given, labels, records, geometries, images.interventions)
