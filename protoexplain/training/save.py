"""A trained model as a checkpoint: how training images respond to its prototypes, and what is wrong with these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.save import save_checkpoint
from protoexplain.config import RunConfig
from protoexplain.data.dataset_view import DatasetView
from protoexplain.models.base import PrototypeModel
from protoexplain.training.diagnose import Finding, diagnose
from protoexplain.training.projection import LatentBatch
from protoexplain.training.provenance import Provenance, data_info
from protoexplain.training.responses import responses


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Args:
        checkpoint: The best checkpoint.
        metrics: Accuracies before and after projection, times.
        findings: What is wrong with the prototypes.
    """

    checkpoint: Checkpoint
    metrics: dict[str, Any]
    findings: tuple[Finding, ...]


def save_model(
    model: PrototypeModel,
    data: DatasetView,
    config: RunConfig,
    path: Path,
    origin: Provenance,
    before_projection: Mapping[str, Tensor],
    metrics: dict[str, Any],
    command: str,
    latents: Iterable[LatentBatch],
) -> RunResult:
    """Save a model as a checkpoint, as `Trainer.save` describes it.

    The model knows from now on what the training images give to its prototypes.
    """
    found = responses(model.eval(), latents, len(data.train))
    model.set_statistics(found.statistics)
    shared = model.ownership.all_shared
    findings = diagnose(model, origin.records, data.train, data.crop, None if shared else found.nearest)
    checkpoint = save_checkpoint(
        path,
        model=model,
        config=config,
        classes=data.image_set.classes,
        data=data_info(data),
        records=origin.records,
        pictures=origin.pictures,
        before_projection=before_projection,
        split=data.split_ids,
        maps=origin.maps,
        metrics={**metrics, "findings": [finding.sentence for finding in findings]},
        command=command,
    )
    return RunResult(checkpoint, metrics, findings)
