"""Turn a trained model into a checkpoint: where its prototypes come from, what is usual for them, what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from protoexplain.checkpoint.checkpoint import Checkpoint, save_checkpoint
from protoexplain.training.diagnose import Finding, diagnose
from protoexplain.training.projection import LatentBatch, Patches, latent_batches
from protoexplain.training.provenance import Provenance, data_info, provenance
from protoexplain.training.responses import responses
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


def save_model(
    run: Run,
    path: Path,
    origin: Provenance,
    proof: Mapping[str, Tensor],
    metrics: Mapping[str, Any],
    command: str,
    latents: Iterable[LatentBatch] | None = None,
) -> tuple[Checkpoint, tuple[Finding, ...]]:
    """Find out how the training images respond to the prototypes of a run's model, diagnose these, and save it.

    Args:
        run: Its model is saved, and knows from now on what the training images give to its prototypes.
        path: The checkpoint to be.
        origin: Of all prototypes.
        proof: Prototypes before they were written from their patches, by branch; empty where patches only illustrate.
        metrics: What was measured.
        command: How to make it again.
        latents: Of all training images; by default the network looks at them here.
    """
    model, data = run.model.eval(), run.data
    found = responses(model, _training_latents(run) if latents is None else latents)
    model.set_statistics(found.statistics)
    shared = model.ownership.all_shared
    findings = diagnose(model, origin.records, data.train, data.crop, None if shared else found.nearest)
    checkpoint = save_checkpoint(
        path,
        model=model,
        config=run.config,
        classes=data.image_set.classes,
        data=data_info(data),
        records=origin.records,
        pictures=origin.pictures,
        proof=proof,
        split=data.split_ids,
        maps=origin.maps,
        metrics={**metrics, "findings": [finding.sentence for finding in findings]},
        command=command,
    )
    return checkpoint, findings


def _training_latents(run: Run) -> Iterator[LatentBatch]:
    """The latent maps of all training images, made now."""
    return latent_batches(run.model, clean_batches(run, list(range(len(run.data.train))), "usual activations"))
