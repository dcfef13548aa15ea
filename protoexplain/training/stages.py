"""Run one stage: choose its inputs, train its epochs, project if it says so."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from protoexplain.config import RunConfig
from protoexplain.data.dataset_view import DatasetView
from protoexplain.data.loading import ImageDataset
from protoexplain.data.orders import epoch_order, shard
from protoexplain.data.records import ImageRecord
from protoexplain.fabric import scales_gradients
from protoexplain.models.base import PrototypeModel
from protoexplain.models.stage import Stage
from protoexplain.progress import Watcher
from protoexplain.training import engine, projection
from protoexplain.training.inputs import InputBatch, Inputs, Kind, cache
from protoexplain.training.pictures import Pictures
from protoexplain.training.run_log import RunLog
from protoexplain.training.state import RunState, Snapshot, weights_of

_NEED_IMAGES = frozenset({"align", "tanh", "alignment", "reconstruction"})
"""Loss terms that compare two views of a picture, or need more of it than the features."""
DECODED_BYTES = 1 << 30
EPOCHS_PER_STAGE = 100_000
"""Epoch numbers of a stage start at its index times this, so that no two epochs draw the same pictures."""


@dataclass
class Run:
    """A run in progress: settings, data, model and what surrounds them."""

    config: RunConfig
    fabric: Fabric
    data: DatasetView
    model: PrototypeModel
    state: RunState
    watcher: Watcher
    log: RunLog | None
    scratch: Path
    checkpoint: Callable[[bool], None]
    """Save the state: at once if True, else if the last time is long ago."""
    interrupted: Callable[[], bool]
    decoded_bytes: int = DECODED_BYTES
    """Most bytes of pictures that stay decoded; 0 where each is looked at once."""
    _pictures: Pictures | None = field(default=None, repr=False)

    def tick(self, what: str, done: int, total: int, together: bool = False) -> None:
        """Show progress; stop here if asked to, with the state saved.

        Several processes stop only where all of them come by equally often (`together`), and all at once.
        """
        self.watcher.progress(what, done, total)
        asked = self.interrupted()
        if self.fabric.world_size > 1:
            asked = together and self._sum(float(asked)) > 0
        if asked:
            self.checkpoint(True)
            self.fabric.barrier()
            raise Interrupted

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
        """Pictures of the run's training images with random changes, or of one of its splits as they are."""
        return self.pictures.dataset(records, augmented)

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

    def _sum(self, value: float) -> float:
        """Over all processes."""
        total = self.fabric.all_reduce(torch.tensor(value), reduce_op="sum")
        assert isinstance(total, Tensor)
        return float(total)


class Interrupted(Exception):  # noqa: N818
    """The run was asked to stop; its state is saved."""


def input_kind(run: Run, stage: Stage, trained: frozenset[str]) -> Kind:
    """Train on the latest values that do not change in this stage."""
    training = run.config.training
    if training.cached_views == 0 or training.published_batch_norm:
        return "images"
    if trained == {"head"}:
        return "activations"
    if not _NEED_IMAGES.isdisjoint(stage.losses):
        return "images"
    if trained & {"lower", "backbone"}:
        return "stem" if getattr(run.model.backbone, "has_stem", False) else "images"
    return "features"


def make_inputs(run: Run, kind: Kind, records: tuple[ImageRecord, ...], augmented: bool, what: str) -> Inputs:
    """Pictures, or a cache that is filled now."""
    pictures = run.pictures.inputs(records, augmented)
    if kind == "images" or not records:
        return pictures
    model, device = run.model, run.fabric.device

    def compute(images: Tensor) -> Tensor:
        if kind == "stem":
            return model.backbone.stem(images.to(device)).float().cpu()  # type: ignore[operator]
        features = model.backbone(images.to(device))
        return (features if kind == "features" else model.activations(features)).float().cpu()

    draws = run.config.training.cached_views if augmented and run.config.data.augmentation != "none" else 1
    return cache(
        run.fabric,
        kind,
        compute,
        pictures,
        draws,
        run.config.training.batch_size,
        run.scratch,
        lambda done, total: run.tick(f"{what}: computing {kind}", done, total),
    )


def run_stage(run: Run, index: int, stage: Stage) -> None:
    """Train what is left of a stage, then project; `end_stage` follows."""
    state = run.state
    trained = engine.freeze(run.model, stage.lr)
    if trained - {"head"} and state.epoch < stage.epochs:
        state.patches, state.proof = [], {}
    if state.epoch < stage.epochs:
        _train(run, index, stage, trained)
    if stage.project:
        project(run, stage)


def end_stage(run: Run, index: int) -> None:
    """Save the state, from which the next stage begins."""
    run.state.stage, run.state.epoch = index + 1, 0
    run.checkpoint(True)
    run.fabric.barrier()


def _train(run: Run, index: int, stage: Stage, trained: frozenset[str]) -> None:
    engine.set_training_mode(run.model, run.config.training.published_batch_norm)
    kind = input_kind(run, stage, trained)
    inputs = make_inputs(run, kind, run.data.train, True, stage.name)
    run.model.eval()
    validation = make_inputs(run, kind, run.data.validation, False, f"{stage.name}, validation")
    fit(run, index, stage, trained, inputs, validation)


def fit(run: Run, index: int, stage: Stage, trained: frozenset[str], inputs: Inputs, validation: Inputs) -> None:
    """Train the groups that `engine.freeze` left free for what is left of a stage's epochs, on given inputs."""
    state, fabric, training, kind = run.state, run.fabric, run.config.training, inputs.kind
    step = fabric.setup_module(engine.TrainStep(run.model, kind, frozenset(stage.losses)))
    fused = training.gradient_clip is None or not scales_gradients(fabric)
    raw_optimizer = engine.make_optimizer(run.model, stage, trained, fused)
    if stage.name in state.optimizers:
        engine.take_over(raw_optimizer, state.optimizers[stage.name])
    optimizer = fabric.setup_optimizers(raw_optimizer)
    assert isinstance(optimizer, torch.optim.Optimizer)
    batch_size = max(1, (stage.batch_size or training.batch_size) // fabric.world_size)
    while state.epoch < stage.epochs:
        number = state.epoch + 1
        done = state.epochs_done.get(stage.name, 0)
        engine.set_training_mode(run.model, training.published_batch_norm)
        epoch = index * EPOCHS_PER_STAGE + state.epoch
        steps = training.passes * -(-len(inputs) // (batch_size * fabric.world_size))
        engine.set_learning_rates(raw_optimizer, stage, done + 1 + state.sums.steps / steps)
        label = f"{stage.name} {number}/{stage.epochs}"
        settings = engine.StepSettings(
            engine.loss_weights(stage, number),
            trained,
            stage.alternate,
            training.gradient_clip,
            training.idle_branch_updates,
        )

        def after_step(
            sums: engine.EpochSums,
            label: str = label,
            steps: int = steps,
            done: int = done,
            opt: torch.optim.Optimizer = raw_optimizer,
        ) -> None:
            engine.set_learning_rates(opt, stage, done + 1 + sums.steps / steps)
            state.optimizers[stage.name] = opt.state_dict()
            run.tick(label, sums.steps, steps, together=True)

        started = time.perf_counter()
        engine.train_epoch(
            fabric,
            step,
            run.model,
            optimizer,
            _passes(run, inputs, epoch, batch_size, state.sums.steps),
            settings,
            state.sums,
            lambda indices: ", ".join(run.data.train[i].id for i in indices.unique().tolist()),
            after_step,
        )
        _share_buffers(run)
        _finish_epoch(run, stage, number, trained, validation, time.perf_counter() - started)
        state.epochs_done[stage.name] = done + 1
        state.epoch, state.sums = number, engine.EpochSums()
        run.checkpoint(False)


def _passes(run: Run, inputs: Inputs, epoch: int, batch_size: int, start: int) -> Iterator[InputBatch]:
    """The batches of an epoch from step `start` on: every image once in each pass."""
    training, fabric = run.config.training, run.fabric
    for number in range(training.passes):
        drawn = epoch * training.passes + number
        order = shard(epoch_order(len(inputs), training.seed, drawn), fabric.global_rank, fabric.world_size)
        steps = -(-len(order) // batch_size)
        if start < steps:
            yield from inputs.epoch(drawn, order, batch_size, start)
        start = max(0, start - steps)


def _share_buffers(run: Run) -> None:
    """Give all processes the batch-norm statistics of the first: each took them from its own images."""
    if run.fabric.world_size > 1:
        for buffer in run.model.buffers():
            torch.distributed.broadcast(buffer, src=0)


def _finish_epoch(
    run: Run, stage: Stage, number: int, trained: frozenset[str], validation: Inputs, seconds: float
) -> None:
    scored = "head" in trained or run.model.prototype_source.projected
    accuracy = run.accuracy(validation) if scored and len(validation) else math.nan
    means = run.state.sums.means()
    note(
        run,
        {
            "stage": stage.name,
            "epoch": number,
            **means,
            "validation_accuracy": accuracy,
            "seconds": round(seconds, 3),
        },
    )
    held = "" if math.isnan(accuracy) else f", validation {accuracy:.1%}"
    run.watcher.line(f"{stage.name} {number}/{stage.epochs}: loss {means['loss']:.4f}{held} ({seconds:.1f} s)")
    if run.state.patches or (not run.model.prototype_source.projected and "head" in trained):
        consider(run, accuracy, f"{stage.name} {number}")


def consider(run: Run, accuracy: float, place: str) -> None:
    """Keep the present weights if they are at least as good on the validation images as the best so far."""
    best = run.state.best
    if best is None or math.isnan(accuracy) or accuracy >= best.accuracy:
        run.state.best = Snapshot(weights_of(run.model), run.state.patches, run.state.proof, accuracy, place)


def project(run: Run, stage: Stage) -> None:
    """Write the nearest training patches into the prototypes, and note what that does to the accuracy."""
    data, state = run.data, run.state
    before = {"validation": run.evaluate(data.validation), "test": run.evaluate(data.test)}
    state.proof = {name: b.prototypes.detach().cpu().clone() for name, b in run.model.named_branches()}
    state.patches = find_patches(run)
    projection.write(run.model, state.patches)
    after = {"validation": run.evaluate(data.validation), "test": run.evaluate(data.test)}
    row = {
        f"{split}_{when}": value[split] for split in before for when, value in (("before", before), ("after", after))
    }
    state.projections.append({"stage": stage.name, "epoch": state.epochs_done.get(stage.name, 0), **row})
    note(run, {"stage": "projection", **row})
    run.watcher.line(f"projection: test accuracy {before['test']:.1%} before, {after['test']:.1%} after")
    consider(run, after["validation"], "projection")


def find_patches(run: Run) -> list[projection.Patches]:
    """The nearest training patch of each prototype over all processes."""
    run.model.eval()
    fabric = run.fabric
    order = shard(range(len(run.data.train)), fabric.global_rank, fabric.world_size, even=False)
    found = projection.search(run.model, clean_batches(run, order, "nearest patches"))
    parts = [projection.to_cpu(patches) for patches in found]
    if fabric.world_size == 1:
        return parts
    gathered = [{name: fabric.all_gather(tensor) for name, tensor in vars(patches).items()} for patches in found]
    return [
        projection.to_cpu(
            projection.merge_all(
                [projection.Patches(**{name: t[rank] for name, t in g.items()}) for rank in range(fabric.world_size)]
            )
        )
        for g in gathered
    ]


def clean_batches(run: Run, order: list[int], what: str) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Images, labels and indices of training images without augmentation, on the device."""
    dataset = run.dataset(run.data.train, augmented=False)
    done = 0
    for batch in run.pictures.loader.batches(dataset, order, run.config.training.batch_size):
        yield tuple(run.fabric.to_device(t) for t in (batch.images[:, 0], batch.labels, batch.indices))  # type: ignore[misc]
        done += len(batch.labels)
        run.tick(what, done, len(order))


def note(run: Run, entry: dict[str, object]) -> None:
    """Write an entry into the log of the main process."""
    if run.log is not None:
        run.log.write(entry)
        run.state.log_lines = run.log.lines
