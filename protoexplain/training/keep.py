"""Turn a trained model into a checkpoint: find out where its prototypes come from and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from protoexplain.io.checkpoint import Checkpoint, save_checkpoint
from protoexplain.io.prototypes import PrototypeRecord
from protoexplain.training.diagnose import Finding, diagnose
from protoexplain.training.projection import Patches
from protoexplain.training.provenance import data_info, provenance
from protoexplain.training.prune import nearest_labels
from protoexplain.training.stages import Run, clean_batches


def keep_run(
    run: Run,
    path: Path,
    patches: Sequence[Patches],
    proof: Mapping[str, Tensor],
    metrics: Mapping[str, Any],
    command: str,
) -> tuple[Checkpoint, tuple[Finding, ...]]:
    """Save the model of a run with the patches of its prototypes.

    Args:
        run: Its model is saved as it is.
        path: The checkpoint to be.
        patches: By branch.
        proof: Prototypes before they were written from the patches; empty where the patches only illustrate.
        metrics: What was measured.
        command: How to make it again.
    """
    data, size = run.data, run.config.data.image_size
    origin = provenance(
        run.model,
        patches,
        data.train,
        data.crop,
        size,
        bool(proof),
        lambda done, total: run.watcher.progress("cutting out pictures", done, total),
    )
    return keep(run, path, origin.records, origin.pictures, proof, metrics, command)


def keep(
    run: Run,
    path: Path,
    records: Sequence[PrototypeRecord],
    pictures: Mapping[str, bytes],
    proof: Mapping[str, Tensor],
    metrics: Mapping[str, Any],
    command: str,
) -> tuple[Checkpoint, tuple[Finding, ...]]:
    """Diagnose the prototypes and save the checkpoint."""
    run.model.eval()
    findings = diagnose(run.model, records, run.data.train, run.data.crop, _nearest(run))
    checkpoint = save_checkpoint(
        path,
        model=run.model,
        config=run.config,
        classes=run.data.image_set.classes,
        data=data_info(run.data),
        records=records,
        pictures=pictures,
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
