"""Turn a trained model into a checkpoint: find out where its prototypes come from and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from protoexplain.io.checkpoint import Checkpoint, save_checkpoint
from protoexplain.training.diagnose import Finding, diagnose
from protoexplain.training.projection import Patches
from protoexplain.training.provenance import Provenance, data_info, provenance
from protoexplain.training.prune import nearest_labels
from protoexplain.training.stages import Run, clean_batches


def origin_of(run: Run, patches: Sequence[Patches], projected: bool) -> Provenance:
    """Where the prototypes of a run's model come from, with pictures.

    Args:
        run: Its model and training images.
        patches: By branch.
        projected: Whether the prototypes were written from the patches; else the patches only illustrate them.
    """
    return provenance(
        run.model,
        patches,
        run.data.train,
        run.data.crop,
        run.config.data.image_size,
        projected,
        lambda done, total: run.watcher.progress("cutting out pictures", done, total),
    )


def keep(
    run: Run,
    path: Path,
    origin: Provenance,
    proof: Mapping[str, Tensor],
    metrics: Mapping[str, Any],
    command: str,
    nearest: Tensor | None = None,
) -> tuple[Checkpoint, tuple[Finding, ...]]:
    """Diagnose the prototypes of a run's model, and save it as it is.

    Args:
        run: Its model is saved.
        path: The checkpoint to be.
        origin: Of all prototypes.
        proof: Prototypes before they were written from their patches, by branch; empty where patches only illustrate.
        metrics: What was measured.
        command: How to make it again.
        nearest: Labels [P,k] of the training images nearest to each prototype; found here if None.
    """
    run.model.eval()
    found = _nearest(run) if nearest is None else nearest
    findings = diagnose(run.model, origin.records, run.data.train, run.data.crop, found)
    checkpoint = save_checkpoint(
        path,
        model=run.model,
        config=run.config,
        classes=run.data.image_set.classes,
        data=data_info(run.data),
        records=origin.records,
        pictures=origin.pictures,
        proof=proof,
        metrics={**metrics, "findings": [finding.sentence for finding in findings]},
        command=command,
    )
    return checkpoint, findings


def _nearest(run: Run) -> Tensor | None:
    """Labels of the training images nearest to each prototype; None where all classes share them."""
    if bool((run.model.prototype_class < 0).all()):
        return None
    return nearest_labels(run.model, clean_batches(run, list(range(len(run.data.train))), "nearest images"))
