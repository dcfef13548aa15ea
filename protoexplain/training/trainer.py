"""A model in training: the projection ("push") of its prototypes, what becomes of them, and its checkpoints."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from protoexplain.config import RunConfig
from protoexplain.data.dataset_view import DatasetView
from protoexplain.data.loading import ImageDataset
from protoexplain.data.orders import shard
from protoexplain.data.records import ImageRecord
from protoexplain.models.base import PrototypeModel
from protoexplain.models.stage import Stage
from protoexplain.progress import TimedWatcher
from protoexplain.regions.object_cells import projection_cells
from protoexplain.training import engine, projection
from protoexplain.training.callbacks import Callbacks, Interrupted
from protoexplain.training.inputs import Inputs
from protoexplain.training.merge import merged_into
from protoexplain.training.pictures import Pictures
from protoexplain.training.provenance import Provenance, provenance
from protoexplain.training.save import RunResult, save_model
from protoexplain.training.state import RunState, Snapshot, weights_of

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DECODED_BYTES = 1 << 30


@dataclass
class Trainer:
    """Trains a model in stages; `state` says how far it is.

    Args:
        config: Of the run.
        model: On the fabric's device.
        data: Training, validation and test images.
        fabric: Device, precision and processes.
        state: Where to go on.
        callbacks: What surrounds the training.
        scratch: Folder for cached features.
        decoded_bytes: Most bytes of pictures that stay decoded; 0 where each is read once.
    """

    config: RunConfig
    model: PrototypeModel
    data: DatasetView
    fabric: Fabric
    state: RunState = field(default_factory=RunState)
    callbacks: Callbacks = field(default_factory=Callbacks)
    scratch: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    decoded_bytes: int = DECODED_BYTES
    _pictures: Pictures | None = field(default=None, repr=False)

    # ------------------------------------------------------------------ stages

    def begin(self, stage: Stage) -> tuple[Stage, frozenset[str]]:
        """A stage as so many training images allow, and the parameter groups that it trains; the others are frozen."""
        stage = stage.for_images(len(self.data.train))
        return stage, engine.freeze(self.model, stage.lr)

    def end_stage(self) -> None:
        """Save the state, from which the next stage begins."""
        self.state.stage, self.state.epoch = self.state.stage + 1, 0
        self.callbacks.save_state(True)
        self.fabric.barrier()

    def push(self, stage: str) -> None:
        """Project: write the nearest training patches into the prototypes, and note what it does to the accuracy.

        Args:
            stage: Name of the stage that it ends.
        """
        state, before = self.state, self._accuracies()
        state.proof = {name: b.prototypes.detach().cpu().clone() for name, b in self.model.named_branches()}
        state.patches = self.find_patches()
        projection.replace_prototypes(self.model, state.patches)
        after = self._accuracies()
        row = {
            f"{split}_{when}": value[split]
            for split in before
            for when, value in (("before", before), ("after", after))
        }
        state.projections.append({"stage": stage, "epoch": state.epochs_done.get(stage, 0), **row})
        self.log({"stage": "projection", **row})
        self.callbacks.watcher.line(f"projection: test accuracy {before['test']:.1%} before, {after['test']:.1%} after")
        self.snapshot_if_best(after["validation"], "projection")

    def merge(self, correlation: float) -> None:
        """Merge prototypes whose activations over the training images are correlated at least so highly.

        The head is to be trained afterwards.  What was kept before had other prototypes, and is forgotten.
        """
        everything, before = list(range(len(self.data.train))), self.model.num_prototypes
        batches = self.clean_batches(everything, "what training images give to prototypes")
        self._merge_into(merged_into(self.model, batches, correlation))
        self.state.merging_done, after = True, self.model.num_prototypes
        self.log({"stage": "merge", "prototypes_before": before, "prototypes": after})
        self.callbacks.watcher.line(f"merged {before} prototypes into {after}")

    def drop_unsteady(self) -> None:
        """Let prototypes that do not keep to one place give way to others of their class, once."""
        into, self.state.gives_way = self.state.gives_way, None
        if into is None:
            return
        stay = int((into == torch.arange(len(into))).sum())
        if stay < len(into):
            self._merge_into(into)
        self.log({"stage": "steady", "prototypes_before": len(into), "prototypes": stay})
        gone = f"{len(into) - stay} of {len(into)}"
        self.callbacks.watcher.line(f"dropped {gone} prototypes, which do not keep to one place of the object")

    def drop_unused(self) -> None:
        """Drop the prototypes that the model has no use for; scores stay as they are."""
        unused = self.model.unused.cpu()
        if not unused.any():
            return
        everything = torch.arange(len(unused))
        self._merge_into(torch.where(unused, everything[~unused][0], everything))
        dropped = int(unused.sum())
        self.log({"stage": "unused", "prototypes_before": len(unused), "prototypes": len(unused) - dropped})
        self.callbacks.watcher.line(f"dropped {dropped} of {len(unused)} prototypes, which nothing uses any more")

    def _merge_into(self, into: Tensor) -> None:
        """Let prototypes take the place of others, as `PrototypeModel.merge`, and note it among what was before."""
        state = self.state
        stayed = torch.arange(len(into)) if state.merged is None else state.merged.unique()
        now = stayed if state.merged is None else state.merged
        state.merged = stayed[into[torch.searchsorted(stayed, now)]]
        self.model.merge(into)
        state.best, state.patches, state.proof = None, [], {}
        state.optimizers.clear()

    def find_patches(self) -> list[projection.BestPatches]:
        """The nearest training patch of each prototype, by branch, over all processes."""
        self.model.eval()
        fabric = self.fabric
        order = shard(range(len(self.data.train)), fabric.global_rank, fabric.world_size, even=False)
        allowed = projection_cells(self.config, self.data.train, self.data.crop)
        found = projection.search(self.model, self.clean_batches(order, "nearest patches"), allowed=allowed)
        if fabric.world_size == 1:
            return [projection.to_cpu(patches) for patches in found]
        gathered = [{name: fabric.all_gather(tensor) for name, tensor in vars(patches).items()} for patches in found]
        by_rank = [
            [projection.BestPatches(**{name: t[rank] for name, t in each.items()}) for rank in range(fabric.world_size)]
            for each in gathered
        ]
        return [projection.to_cpu(projection.merge_all(parts)) for parts in by_rank]

    def return_to_best(self, stage: Stage) -> None:
        """Take the weights of the epoch that was kept of a stage."""
        best, self.state.best = self.state.best, None
        if best is not None and best.place != f"{stage.name} {stage.epochs}":
            self.model.load_state_dict(best.weights)
            self.callbacks.watcher.line(f"back to {best.place}, validation {best.accuracy:.1%}")

    def snapshot_if_best(self, accuracy: float, place: str, margin: float = 0.0) -> None:
        """Keep the present weights if they are as good on the validation images as the best so far, or nearly so."""
        best = self.state.best
        if best is None or math.isnan(accuracy) or accuracy >= best.accuracy - margin:
            self.state.best = Snapshot(weights_of(self.model), self.state.patches, self.state.proof, accuracy, place)

    # ------------------------------------------------------------------ checkpoints

    def origin_of(self, patches: Sequence[projection.BestPatches], projected: bool) -> Provenance:
        """Where the prototypes come from, with pictures.

        Args:
            patches: By branch.
            projected: Whether the prototypes were written from the patches; else the patches only illustrate them.
        """
        origin = provenance(
            self.model,
            patches,
            self.data.train,
            self.data.crop,
            self.config.data.image_size,
            projected,
            lambda done, total: self.callbacks.watcher.progress("cutting out pictures", done, total),
        )
        if self.state.merged is None:
            return origin
        stayed = zip(origin.records, self.state.merged.unique().tolist(), strict=True)
        return replace(origin, records=tuple(replace(record, original_index=old) for record, old in stayed))

    def save(
        self,
        path: Path,
        origin: Provenance,
        before_projection: Mapping[str, Tensor],
        metrics: dict[str, Any],
        command: str,
        latents: Iterable[projection.LatentBatch] | None = None,
    ) -> RunResult:
        """Diagnose the prototypes and write a checkpoint.

        Args:
            path: The checkpoint to be.
            origin: Of all prototypes.
            before_projection: Prototypes before they were written from their patches, by branch; empty where none were.
            metrics: What was measured.
            command: How to make it again.
            latents: Of all training images; by default the network computes them here.
        """
        if latents is None:
            everything = list(range(len(self.data.train)))
            latents = projection.latent_batches(self.model.eval(), self.clean_batches(everything, "usual activations"))
        return save_model(
            self.model, self.data, self.config, path, origin, before_projection, metrics, command, latents
        )

    # ------------------------------------------------------------------ images

    @property
    def pictures(self) -> Pictures:
        """Those of the run's data; their workers stay for as long as the run."""
        if self._pictures is None or self._pictures.data is not self.data:
            self._pictures = Pictures(
                self.data, self.config, self.fabric.device, self.fabric.world_size, self.decoded_bytes
            )
        return self._pictures

    def close(self) -> None:
        """End the workers that read its pictures, if any were started."""
        if self._pictures is not None:
            self._pictures.loader.close()
            self._pictures = None

    def dataset(self, records: tuple[ImageRecord, ...], augmented: bool) -> ImageDataset:
        """Pictures of the training images with random changes, or of one of the splits as they are."""
        return self.pictures.dataset(records, augmented)

    def clean_batches(self, order: list[int], what: str) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Images, labels and indices of training images without augmentation, on the device."""
        dataset, done = self.dataset(self.data.train, augmented=False), 0
        for batch in self.pictures.loader.batches(dataset, order, self.config.training.batch_size):
            yield tuple(self.fabric.to_device(t) for t in (batch.images[:, 0], batch.labels, batch.indices))  # type: ignore[misc]
            done += len(batch.labels)
            self.tick(what, done, len(order))

    # ------------------------------------------------------------------ accuracy

    def evaluate(self, records: tuple[ImageRecord, ...]) -> float:
        """Accuracy of the whole model on clean pictures."""
        return self.accuracy(self.pictures.inputs(records, augmented=False))

    def accuracy(self, inputs: Inputs) -> float:
        size = self.config.training.batch_size
        order = shard(range(len(inputs)), self.fabric.global_rank, self.fabric.world_size, even=False)
        own = engine.accuracy(self.fabric, self.model, inputs.kind, inputs.epoch(0, order, size))
        if self.fabric.world_size == 1:
            return own
        right = round(self._sum(own * len(order) if order else 0.0))
        return right / len(inputs) if len(inputs) else math.nan

    def _accuracies(self) -> dict[str, float]:
        return {"validation": self.evaluate(self.data.validation), "test": self.evaluate(self.data.test)}

    def _sum(self, value: float) -> float:
        """Over all processes."""
        total = self.fabric.all_reduce(torch.tensor(value), reduce_op="sum")
        assert isinstance(total, Tensor)
        return float(total)

    # ------------------------------------------------------------------ callbacks

    def tick(self, what: str, done: int, total: int, together: bool = False) -> None:
        """Show progress; stop here if asked to, with the state saved.

        Several processes stop only where all of them come by equally often (`together`), and all at once.

        Raises:
            Interrupted: As asked.
        """
        forecast, watcher = self.callbacks.forecast, self.callbacks.watcher
        if forecast is not None and isinstance(watcher, TimedWatcher):
            watcher.left(forecast.left(self.state))
        watcher.progress(what, done, total)
        asked = self.callbacks.interrupted()
        if self.fabric.world_size > 1:
            asked = together and self._sum(float(asked)) > 0
        if asked:
            self.callbacks.save_state(True)
            self.fabric.barrier()
            raise Interrupted

    def log(self, entry: dict[str, object]) -> None:
        """Write an entry into the log of the main process."""
        run_log = self.callbacks.run_log
        if run_log is not None:
            run_log.write(entry)
            self.state.log_lines = run_log.lines
