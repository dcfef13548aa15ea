"""Turn a trained model into a checkpoint: where its prototypes come from, what is usual for them, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from protoexplain.explain.nearest import Nearest
from protoexplain.io.checkpoint import Checkpoint, save_checkpoint
from protoexplain.models.activation_statistics import RunningStatistics
from protoexplain.training.diagnose import Finding, diagnose
from protoexplain.training.projection import Patches
from protoexplain.training.provenance import Provenance, data_info, provenance
from protoexplain.training.prune import K, best_similarities
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
) -> tuple[Checkpoint, tuple[Finding, ...]]:
    """Look at all training images once, diagnose the prototypes of a run's model, and save it.

    Args:
        run: Its model is saved, and knows from now on what the training images give to its prototypes.
        path: The checkpoint to be.
        origin: Of all prototypes.
        proof: Prototypes before they were written from their patches, by branch; empty where patches only illustrate.
        metrics: What was measured.
        command: How to make it again.
    """
    run.model.eval()
    nearest = _look(run)
    shared = bool((run.model.prototype_class < 0).all())
    findings = diagnose(run.model, origin.records, run.data.train, run.data.crop, None if shared else nearest)
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


@torch.no_grad()
def _look(run: Run) -> Tensor:
    """Tell the model its statistics.  Labels [P,K] of the training images nearest to each prototype."""
    model = run.model
    nearest, running = Nearest(K, model.num_prototypes), RunningStatistics()
    for images, labels, indices in clean_batches(run, list(range(len(run.data.train))), "usual activations"):
        features = model.backbone(images)
        nearest.update(best_similarities(model, features), indices, labels)
        running.update(model.maps_by_branch(features))
    model.know(running.statistics())
    return nearest.patches().label
