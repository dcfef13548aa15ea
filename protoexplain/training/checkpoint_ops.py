"""Work on a finished checkpoint: project again, merge, prune, refit the last layer.  The result is a new checkpoint.

The network looks at every picture once; all else comes from the latent maps that it made.  The last layer is refitted
on the training pictures as they are, without random changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from protoexplain.allocator import reuse_freed_memory
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.prototypes import select
from protoexplain.config import RunConfig
from protoexplain.data.dataset_view import matching_view
from protoexplain.devices import AUTO
from protoexplain.errors import UserError
from protoexplain.fabric import make_fabric
from protoexplain.io.atomic import require_writable
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family
from protoexplain.models.stage import Stage
from protoexplain.progress import Watcher
from protoexplain.regions.object_cells import projection_cells
from protoexplain.training import engine, projection
from protoexplain.training.callbacks import Callbacks
from protoexplain.training.epochs import train_epochs
from protoexplain.training.feature_cache import (
    FeatureCache,
    accuracy_of,
    activations_of,
    compute_features,
    head_inputs,
    scores_of,
)
from protoexplain.training.held_out import calibrate_model
from protoexplain.training.merge import merged_by
from protoexplain.training.provenance import Provenance
from protoexplain.training.prune import K, nearest_of, unfaithful
from protoexplain.training.prune import prune as remove
from protoexplain.training.save import RunResult
from protoexplain.training.trainer import Trainer


def reproject(
    path: Path,
    data: Path,
    out: Path,
    watcher: Watcher,
    command: str,
    epochs: int = 0,
    device: str = AUTO,
    merge: float | None = None,
) -> RunResult:
    """Write the nearest patches of a data set into the prototypes, refit the last layer, save a new checkpoint.

    With `merge`, prototypes whose activations over the training images are correlated at least so highly become one
    before, which their classes share.  Those of families that write no patches are then only merged.

    Raises:
        UserError: The family writes no patches and nothing is to be merged, other classes, `out` exists, or there is no
            such device.
    """
    trainer, checkpoint = _open(path, data, out, watcher, device)
    projects = trainer.model.prototype_source.projected
    if not projects and merge is None:
        raise UserError(
            f"{checkpoint.config.family} does not write patches into prototypes", str(path), "nothing needs to be done"
        )
    with closing(trainer):
        model, train, test = trainer.model, features_of(trainer, "train"), features_of(trainer, "test")
        before = accuracy_of(model, test.similarity, test.labels)
        kept = list(range(model.num_prototypes))
        if merge is not None:
            into = merged_by(activations_of(model, train.similarity), model.branch_sizes(), merge)
            kept = into.unique().tolist()
            model.merge(into)
        branches = model.named_branches() if projects else ()
        before_projection = {name: branch.prototypes.detach().clone() for name, branch in branches}
        allowed = projection_cells(trainer.config, trainer.data.train, trainer.data.crop)
        patches = projection.search_latents(model, train.batches(trainer.fabric.device), allowed=allowed)
        if projects:
            projection.replace_prototypes(model, patches)
        similarity, tested = train.similarity_to(model), test.similarity_to(model)
        changed, held = accuracy_of(model, tested, test.labels), features_of(trainer, "validation")
        _refit(trainer, similarity, train.labels, held, epochs)
        origin = trainer.origin_of([projection.to_cpu(found) for found in patches], projects)
        records = tuple(
            replace(record, original_index=checkpoint.prototypes[old].original_index)
            for record, old in zip(origin.records, kept, strict=True)
        )
        metrics = {
            **({} if merge is None else {"prototypes_merged": len(checkpoint.prototypes) - len(kept)}),
            "test_accuracy_before": before,
            "test_accuracy_projected" if projects else "test_accuracy_merged": changed,
            "test_accuracy": accuracy_of(model, tested, test.labels),
            "calibration": _calibrate(model, held, tested, test.labels),
        }
        latents = train.batches(trainer.fabric.device)
        return trainer.save(out, replace(origin, records=records), before_projection, metrics, command, latents)


def prune(
    path: Path,
    data: Path,
    out: Path,
    watcher: Watcher,
    command: str,
    k: int = K,
    threshold: int = 3,
    epochs: int = 100,
    device: str = AUTO,
) -> RunResult:
    """Remove prototypes whose k nearest training images hold fewer than `threshold` of their class, refit, save.

    Raises:
        UserError: Nothing can be pruned, all would be, other classes, `out` exists, or there is no such device.
    """
    trainer, checkpoint = _open(path, data, out, watcher, device)
    if trainer.model.ownership.all_shared:
        raise UserError("all classes share these prototypes; none is of the wrong class", str(path), "nothing to prune")
    with closing(trainer):
        model, train, test = trainer.model, features_of(trainer, "train"), features_of(trainer, "test")
        before = accuracy_of(model, test.similarity, test.labels)
        to_prune = unfaithful(nearest_of(train.similarity, train.labels, k), model.ownership, threshold)
        kept = (~to_prune).nonzero()[:, 0].tolist()
        if not kept:
            raise UserError("every prototype would be pruned", str(path), "lower --threshold")
        without_prototypes = int((~model.ownership.owned.cpu()[~to_prune].any(0)).sum())
        parents = checkpoint.before_projection()
        before_projection = {
            name: parents[name][~part]
            for part, (name, _) in zip(to_prune.split(model.branch_sizes()), model.named_branches(), strict=True)
            if name in parents
        }
        remove(model, to_prune)
        similarity, tested = train.similarity[:, kept], test.similarity[:, kept]
        held = features_of(trainer, "validation")
        _refit(trainer, similarity, train.labels, held, epochs)
        records, maps = select(checkpoint.prototypes, kept), checkpoint.prototype_maps()
        origin = Provenance(records, pictures_of(checkpoint, kept), tuple(maps[index] for index in kept))
        metrics = {
            "prototypes_removed": int(to_prune.sum()),
            "classes_without_prototypes": without_prototypes,
            "test_accuracy_before": before,
            "test_accuracy": accuracy_of(model, tested, test.labels),
            "calibration": _calibrate(model, held, tested, test.labels),
        }
        latents = train.batches(trainer.fabric.device)
        return trainer.save(out, origin, before_projection, metrics, command, latents)


def _open(path: Path, data: Path, out: Path, watcher: Watcher, device: str) -> tuple[Trainer, Checkpoint]:
    """A run without schedule around the model of a checkpoint, on a device of this computer and in full precision."""
    from lightning_fabric import seed_everything

    if out.exists():
        raise UserError("the folder exists", str(out), "choose a new --out; nothing is overwritten")
    require_writable(out.parent)
    fabric = make_fabric(device)
    reuse_freed_memory()
    checkpoint = Checkpoint.load(path)
    config = checkpoint.config
    seed_everything(config.training.seed, verbose=False)
    view = matching_view(checkpoint, data)
    for notice in view.notices:
        watcher.line(notice)
    model = checkpoint.model(fabric.device)
    return Trainer(config, model, view, fabric, callbacks=Callbacks(watcher), decoded_bytes=0), checkpoint


def features_of(trainer: Trainer, split: Literal["train", "validation", "test"]) -> FeatureCache:
    """What the model makes of all pictures of a split."""
    pictures = trainer.pictures.inputs(getattr(trainer.data, split), augmented=False)

    def tell(done: int, total: int) -> None:
        trainer.tick(f"looking at {split} pictures", done, total)

    return compute_features(
        trainer.model.eval(), pictures, trainer.fabric.device, trainer.config.training.batch_size, tell
    )


def _calibrate(model: PrototypeModel, held: FeatureCache, tested: Tensor, labels: Tensor) -> dict[str, Any]:
    """Calibrate a model anew, and say what that does to test images with best similarities [N,P]."""
    validation = scores_of(model, held.similarity), held.labels
    return calibrate_model(model, validation, (scores_of(model, tested), labels))


def _refit(trainer: Trainer, similarity: Tensor, labels: Tensor, held: FeatureCache, epochs: int) -> None:
    """Last-layer epochs as the family's schedule describes them, from best similarities [N,P] of training images."""
    head = head_stage(trainer.config)
    if not epochs or not head:
        return
    model = trainer.model
    stage = head.over(epochs)
    trained = engine.freeze(model, stage.lr)
    validation = head_inputs(model, held.similarity, held.labels, training=False)
    train_epochs(trainer, stage, trained, head_inputs(model, similarity, labels, training=True), validation)
    model.eval()


def head_stage(config: RunConfig) -> Stage | None:
    """The stage that trains the head alone, as the family's schedule describes it."""
    stages = get_family(config.family).stages(config.schedule)
    return next((stage for stage in reversed(stages) if set(stage.lr) == {"head"}), None)


def pictures_of(checkpoint: Checkpoint, kept: Sequence[int]) -> dict[str, bytes]:
    """Pictures of some prototypes by file name."""
    pictures: dict[str, bytes] = {}
    for index in kept:
        record = checkpoint.prototypes[index]
        for name, picture in (
            (record.patch, checkpoint.picture(index, "patch")),
            (record.source, checkpoint.picture(index, "source")),
        ):
            if name and picture is not None:
                pictures[name] = picture
    return pictures
