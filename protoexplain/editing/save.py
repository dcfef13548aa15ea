"""An edited model as a new checkpoint: its prototypes' places and pictures, its proof, and who decided what.

Nothing that was measured on the parent is taken over but the list of its own edits, for no score of the parent holds
for the edited model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.model_card import EDITS
from protoexplain.checkpoint.prototypes import PrototypeRecord, select
from protoexplain.checkpoint.save import save_checkpoint
from protoexplain.editing.carry_out import Edited
from protoexplain.editing.decisions import Decision
from protoexplain.editing.preview import TEST, TRAIN, VALIDATION, EditPreview
from protoexplain.editing.report import EditReport, findings_of
from protoexplain.errors import UserError
from protoexplain.io.atomic import require_writable
from protoexplain.models.base import PrototypeModel
from protoexplain.progress import Progress
from protoexplain.training.checkpoint_ops import pictures_of
from protoexplain.training.diagnose import Finding
from protoexplain.training.feature_cache import scores_of
from protoexplain.training.held_out import calibrate_model
from protoexplain.training.projection import BestPatches
from protoexplain.training.provenance import Provenance, data_info, provenance
from protoexplain.training.responses import responses


@dataclass(frozen=True)
class EditResult:
    """Args: checkpoint: the new one; report: what the edit changed; findings: what is wrong with its prototypes."""

    checkpoint: Checkpoint
    report: EditReport
    findings: tuple[Finding, ...]


def save(
    preview: EditPreview,
    edited: Edited,
    found: EditReport,
    out: Path,
    command: str = "",
    progress: Progress | None = None,
) -> EditResult:
    """Write an edited model as a new checkpoint.

    Args:
        preview: That it was made on.
        edited: After the refit.
        found: What the edit changed.
        out: The folder to be.
        command: How to make it again.
        progress: Told (done, total) in training pictures that new pictures of prototypes are cut from.

    Raises:
        UserError: The folder exists or cannot be written, or a picture can no longer be read.
    """
    require_free(out)
    parent = preview.checkpoint
    model = whole_model(preview, edited)
    seen = preview.features[TRAIN]
    latents = seen.batches(torch.device("cpu"))
    model.set_statistics(responses(edited.model, latents, len(seen.images)).statistics)
    validation, test = (_scored(preview, edited, split) for split in (VALIDATION, TEST))
    calibration = calibrate_model(model, validation, test)
    origin = _origin(preview, edited, progress)
    findings = findings_of(preview, edited, origin.records)
    checkpoint = save_checkpoint(
        out,
        model=model,
        config=parent.config,
        classes=parent.classes,
        data=data_info(preview.data),
        records=origin.records,
        pictures=origin.pictures,
        before_projection=_before_projection(preview, edited),
        split=preview.data.split_ids,
        maps=origin.maps,
        metrics={
            "test_accuracy_before": found.before.test.value,
            "test_accuracy": found.after.test.value,
            "validation_accuracy": found.after.validation.value,
            "calibration": calibration,
            "refit_epochs": found.epochs,
            "parent_weights_sha256": parent.weights_sha256,
            EDITS: [*_earlier_edits(parent), *(_row(parent, decision) for decision in edited.decisions)],
            "findings": [finding.sentence for finding in findings],
        },
        command=command,
    )
    return EditResult(checkpoint, found, findings)


def _scored(preview: EditPreview, edited: Edited, split: str) -> tuple[Tensor, Tensor]:
    """Class scores [N,C] of the edited model, and labels [N]."""
    return scores_of(edited.model, edited.similarity[split]), preview.features[split].labels


def whole_model(preview: EditPreview, edited: Edited) -> PrototypeModel:
    """The edited model with its backbone."""
    model = preview.checkpoint.model()
    model.select(torch.tensor(edited.remaining, dtype=torch.long))
    model.load_state_dict({**model.state_dict(), **edited.model.state_dict()})
    return model.eval()


def require_free(out: Path) -> None:
    """Refuse a name that is taken, or a place that cannot be written, before the work."""
    if out.exists():
        raise UserError("there is something under this name already", str(out), "choose another name")
    require_writable(out.parent)


def _before_projection(preview: EditPreview, edited: Edited) -> dict[str, Tensor]:
    """Prototypes before any patch was written into them, without those removed."""
    before_projection, start = {}, 0
    remaining = torch.tensor(edited.remaining)
    for (name, branch), size in zip(preview.model.named_branches(), preview.model.branch_sizes(), strict=True):
        inside = remaining[(remaining >= start) & (remaining < start + size)] - start
        moved = any(start <= prototype < start + size for prototype in edited.reprojected)
        if name in preview.before_projection or moved:
            before_projection[name] = preview.before_projection.get(name, branch.prototypes.detach())[inside]
        start += size
    return before_projection


def _origin(preview: EditPreview, edited: Edited, progress: Progress | None) -> Provenance:
    """Records and pictures: those of the parent, and new ones of the prototypes that lie elsewhere now."""
    parent = preview.checkpoint
    records, maps = list(parent.prototypes), list(parent.prototype_maps())
    cut = _cut_out(preview, edited, progress)
    for record, found in zip(cut.records, cut.maps, strict=True):
        records[record.index], maps[record.index] = record, found
    stayed = [index for index in edited.remaining if index not in edited.reprojected]
    pictures = {**pictures_of(parent, stayed), **cut.pictures}
    return Provenance(select(records, edited.remaining), pictures, tuple(maps[index] for index in edited.remaining))


def _cut_out(preview: EditPreview, edited: Edited, progress: Progress | None) -> Provenance:
    """The prototypes that lie elsewhere now; their pictures bear names that no picture of the parent bears."""
    moved = {index: patch for index, patch in edited.reprojected.items() if index in edited.remaining}
    if not moved:
        return Provenance((), {}, ())
    patches, start = [], 0
    for (_, branch), size in zip(preview.model.named_branches(), preview.model.branch_sizes(), strict=True):
        own = {index - start: patch for index, patch in moved.items() if start <= index < start + size}
        start += size
        height, width = next((patch.map.shape for patch in own.values()), (1, 1))
        found = BestPatches(
            image=torch.full((size,), -1),
            row=torch.full((size,), -1),
            column=torch.full((size,), -1),
            similarity=torch.full((size,), -torch.inf),
            patch=torch.zeros(size, branch.prototypes[0].numel() if size else 0),
            maps=torch.zeros(size, height, width),
        )
        for place, patch in own.items():
            found.image[place], found.row[place], found.column[place] = patch.place, patch.row, patch.column
            found.similarity[place], found.maps[place] = patch.similarity, patch.map
        patches.append(found)
    size = preview.checkpoint.config.data.image_size
    origin = provenance(preview.model, patches, preview.features[TRAIN].images, preview.data.crop, size, True, progress)
    names = {name: f"{Path(name).stem.split('-')[0]}-{_mark(picture)}.jpg" for name, picture in origin.pictures.items()}
    records = tuple(
        replace(
            origin.records[index],
            original_index=preview.checkpoint.prototypes[index].original_index,
            chosen=True,
            patch=names[str(origin.records[index].patch)],
            source=names[str(origin.records[index].source)],
        )
        for index in sorted(moved)
    )
    pictures = {names[name]: picture for name, picture in origin.pictures.items()}
    return Provenance(records, pictures, tuple(origin.maps[index] for index in sorted(moved)))


def _mark(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()[:16]


def _row(parent: Checkpoint, decision: Decision) -> dict[str, Any]:
    record = parent.prototypes[decision.prototype]
    fields = decision.model_dump(exclude={"prototype"})
    return {
        "prototype": decision.prototype,
        "class": parent.owner_name(decision.prototype),
        "was": _place(record),
        **fields,
        "parent": parent.weights_sha256,
    }


def _place(record: PrototypeRecord) -> str | None:
    return None if record.image_id is None else f"{record.image_id}, row {record.row}, column {record.column}"


def _earlier_edits(parent: Checkpoint) -> list[Mapping[str, Any]]:
    """What the parent says about how it was edited."""
    rows = parent.metrics.get(EDITS)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
