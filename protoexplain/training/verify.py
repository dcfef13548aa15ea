"""Prove a checkpoint: its files are whole, and each prototype is the training patch that it is said to be.

With the data at hand the recorded patches are embedded again and the search for the nearest ones is repeated
with the prototypes as they were before projection.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.check import for_each
from protoexplain.data.dataset_view import DatasetView
from protoexplain.data.loading import batches
from protoexplain.errors import UserError
from protoexplain.io.images import sha256_of
from protoexplain.io.manifest import verify_folder
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.precision import all_digits
from protoexplain.models.similarity import Similarity, gather_patches, map_size
from protoexplain.progress import Progress
from protoexplain.regions.object_cells import projection_cells
from protoexplain.training.projection import search

RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""How far numbers may differ: other processors and thread counts round differently."""

_BATCH = 32


@dataclass(frozen=True)
class Check:
    """One question and its answer.

    Args:
        name: What was checked.
        passed: The answer.
        detail: One sentence with counts.
        offenders: What failed, by name.
    """

    name: str
    passed: bool
    detail: str
    offenders: tuple[str, ...] = ()


@dataclass(frozen=True)
class VerifyReport:
    """Args: sha256: of the checkpoint; checks: in order."""

    sha256: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def as_text(self, shown: int = 5) -> str:
        lines = []
        for check in self.checks:
            lines.append(f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
            lines += [f"          {name}" for name in check.offenders[:shown]]
            more = len(check.offenders) - shown
            lines += [f"          and {more} more"] if more > 0 else []
        return "\n".join(lines)


@all_digits()
def verify(
    checkpoint: Checkpoint,
    data: DatasetView | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> VerifyReport:
    """Check a checkpoint: its files are whole, and its prototypes are the training patches that they are said to be.

    Args:
        checkpoint: Loaded, with or without verification.
        data: Its data as `view_of` the checkpoint; without it only the files and weights are checked.
        device: Where the model runs.
        progress: Told (done, total) in training images while the search is repeated.

    Returns:
        One answer for each question; ``passed`` where all are right.

    Raises:
        UserError: A training image cannot be read.

    Example:
        >>> import protoexplain as px
        >>> report = px.verify(px.load("checkpoints/planted-protopnet", device="cpu").checkpoint)
        >>> report.passed, [check.name for check in report.checks]
        (True, ['files', 'weights'])
    """
    checks = [_files(checkpoint)]
    try:
        model = checkpoint.model(device)
    except UserError as error:
        return VerifyReport(checkpoint.sha256, (*checks, Check("weights", False, error.what)))
    checks.append(Check("weights", True, f"all {len(model.state_dict())} tensors fit and are finite"))
    if data is not None:
        checks += [_same_data(checkpoint, data), _same_images(checkpoint, data)]
        if all(check.passed for check in checks):
            checks += [
                _prototypes_are_patches(checkpoint, model, data, device),
                _nearest_patches(checkpoint, model, data, device, progress),
            ]
            if any(record.chosen for record in checkpoint.prototypes):
                checks.append(_chosen_patches(checkpoint, model, data, device))
    return VerifyReport(checkpoint.sha256, tuple(checks))


def _files(checkpoint: Checkpoint) -> Check:
    try:
        manifest = verify_folder(checkpoint.path)
    except UserError as error:
        return Check("files", False, error.what)
    return Check("files", True, f"all {len(manifest.files)} have their recorded SHA-256")


def _same_data(checkpoint: Checkpoint, data: DatasetView) -> Check:
    """The data set, its use and its cut are those of training."""
    info = checkpoint.data
    pairs = {
        "fingerprint": (info.fingerprint, data.fingerprint),
        "cut": (info.crop, data.crop),
        "training images": (info.train_images, len(data.train)),
    }
    offenders = tuple(f"{name}: recorded {a}, found {b}" for name, (a, b) in pairs.items() if a != b)
    detail = "another one than in training" if offenders else f"{data.image_set.name}, as in training"
    return Check("data set", not offenders, detail, offenders)


def _same_images(checkpoint: Checkpoint, data: DatasetView) -> Check:
    """The files of the prototypes' images have their recorded hashes."""
    expected = {r.image_id: r.image_sha256 for r in checkpoint.prototypes if r.image_id is not None}
    paths = {record.id: record.path for record in data.train}
    found = for_each(list(expected), lambda id_: sha256_of(paths[id_]) if id_ in paths else None)
    offenders = tuple(
        f"{id_}: {'recorded SHA-256 ' + str(expected[id_]) + ', found ' + sha if sha else 'no training image'}"
        for id_, sha in zip(expected, found, strict=True)
        if sha != expected[id_]
    )
    return Check("source images", not offenders, _counted(len(expected), offenders, "are unchanged"), offenders)


@torch.no_grad()
def _prototypes_are_patches(
    checkpoint: Checkpoint, model: PrototypeModel, data: DatasetView, device: str | torch.device
) -> Check:
    """Each projected prototype equals its recorded patch, embedded again."""
    projected = [record for record in checkpoint.prototypes if record.projected]
    prototypes = [prototype for _, branch in model.named_branches() for prototype in branch.prototypes]
    gaps = {
        record.index: _gap(branch.similarity, z, prototypes[record.index], record)
        for record, branch, z in _embedded(checkpoint, model, data, device, projected)
    }
    offenders = tuple(
        f"{_named(checkpoint, r)}: differs by {gaps[r.index]:.1e} of its length from {r.image_id}"
        for r in projected
        if not gaps[r.index] <= RELATIVE
    )
    detail = _counted(len(projected), offenders, "equal their recorded patch")
    return Check("prototypes are patches", not offenders, detail, offenders)


@torch.no_grad()
def _chosen_patches(
    checkpoint: Checkpoint, model: PrototypeModel, data: DatasetView, device: str | torch.device
) -> Check:
    """Patches that a person chose are as similar to the prototypes before as recorded, and of their class.

    The model holds the prototypes as they were before they were written.
    """
    chosen = [record for record in checkpoint.prototypes if record.chosen]
    labels = {image.id: image.label for image in data.train}
    prototypes = [prototype for _, branch in model.named_branches() for prototype in branch.prototypes]
    offenders = []
    for record, branch, z in _embedded(checkpoint, model, data, device, chosen):
        found = float(branch.projected_by.maps(z, prototypes[record.index][None])[0, 0, record.row, record.column])
        recorded = record.similarity if record.similarity is not None else math.inf
        if not record.belongs_to(labels[str(record.image_id)]):
            offenders.append(f"{_named(checkpoint, record)}: {record.image_id} is of another class")
        elif not abs(found - recorded) <= RELATIVE * abs(recorded) + ABSOLUTE:
            offenders.append(f"{_named(checkpoint, record)}: similarity {found:.6g}, recorded {recorded:.6g}")
    return Check("chosen patches", not offenders, _counted(len(chosen), offenders, "are as recorded"), tuple(offenders))


def _embedded(
    checkpoint: Checkpoint,
    model: PrototypeModel,
    data: DatasetView,
    device: str | torch.device,
    records: Sequence[PrototypeRecord],
) -> Iterator[tuple[PrototypeRecord, Branch, Tensor]]:
    """Each of some prototypes with its branch and the latent map z [1,D,H,W] of its image."""
    place = {record.id: i for i, record in enumerate(data.train)}
    on_image: dict[int, list[PrototypeRecord]] = defaultdict(list)
    for record in records:
        on_image[place[str(record.image_id)]].append(record)
    branches = dict(model.named_branches())
    for images, _, indices in _batches(checkpoint, data, sorted(on_image), device):
        features = model.backbone(images)
        latent = {name: branch.addon(features) for name, branch in branches.items()}
        for b, index in enumerate(indices.tolist()):
            for record in on_image[index]:
                yield record, branches[record.branch], latent[record.branch][b : b + 1]


def _gap(similarity: Similarity, z: Tensor, prototype: Tensor, record: PrototypeRecord) -> float:
    """Relative distance of a prototype [D,h,w] from what its patch in z [1,D,H,W] would write."""
    one = prototype[None]
    if map_size(z, one) != (record.map_height, record.map_width):
        return math.inf
    cell = torch.tensor([[record.row * record.map_width + record.column]], device=z.device)
    written = similarity.prototypes_from(gather_patches(z, one, cell)[0])
    return float((written - one.flatten(1)).norm() / one.norm())


def _nearest_patches(
    checkpoint: Checkpoint,
    model: PrototypeModel,
    data: DatasetView,
    device: str | torch.device,
    progress: Progress | None,
) -> Check:
    """No training patch is nearer to a prototype, as it was before projection, than the recorded one.

    Prototypes whose patch a person chose are left out.
    """
    name = "nearest patches"
    trouble = _restore_prototypes(checkpoint, model)
    if trouble:
        return Check(name, False, trouble)
    allowed = projection_cells(checkpoint.config, data.train, data.crop)
    found = search(model, _batches(checkpoint, data, range(len(data.train)), device, progress), allowed=allowed)
    nearest = torch.cat([patches.similarity for patches in found]).tolist()
    image = torch.cat([patches.image for patches in found]).tolist()
    offenders = []
    for record, best, index in zip(checkpoint.prototypes, nearest, image, strict=True):
        recorded = record.similarity
        if record.chosen:
            continue
        if recorded is None:
            if index >= 0:
                offenders.append(f"{_named(checkpoint, record)}: {data.train[index].id} qualifies, none is recorded")
        elif not abs(best - recorded) <= RELATIVE * abs(recorded) + ABSOLUTE:
            offenders.append(
                f"{_named(checkpoint, record)}: best similarity {best:.6g} on {data.train[index].id},"
                f" recorded {recorded:.6g} on {record.image_id}"
            )
    searched = sum(not record.chosen for record in checkpoint.prototypes)
    detail = _counted(searched, offenders, "have no nearer training patch than recorded")
    return Check(name, not offenders, detail, tuple(offenders))


def _restore_prototypes(checkpoint: Checkpoint, model: PrototypeModel) -> str:
    """Put the prototypes from before projection into the model; what prevents it, if anything."""
    if not any(record.projected for record in checkpoint.prototypes):
        return ""
    before_projection = checkpoint.before_projection()
    for name, branch in model.named_branches():
        if not len(branch.prototypes):
            continue
        before = before_projection.get(name)
        if before is None or before.shape != branch.prototypes.shape:
            return f"there is no proof of the projection of branch {name}"
        branch.prototypes.data = before.to(branch.prototypes)
    return ""


def _batches(
    checkpoint: Checkpoint,
    data: DatasetView,
    order: Sequence[int],
    device: str | torch.device,
    progress: Progress | None = None,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Clean pictures of training images on the device, with labels and indices."""
    dataset = data.dataset(data.train, checkpoint.config.data)
    done = 0
    for batch in batches(dataset, order, _BATCH, 0, checkpoint.config.data.workers):
        yield batch.images[:, 0].to(device), batch.labels.to(device), batch.indices.to(device)
        done += len(batch.labels)
        if progress:
            progress(done, len(order))


def _named(checkpoint: Checkpoint, record: PrototypeRecord) -> str:
    return f"prototype {record.index} ({checkpoint.owner_name(record.index) or 'all classes'})"


def _counted(total: int, offenders: Sequence[str], good: str) -> str:
    return f"{total - len(offenders)} of {total} {good}"
