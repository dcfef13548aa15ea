"""A trained model as one folder that needs nothing else: weights, prototypes with pictures, their proof.

model.safetensors        all tensors of the model
proof.safetensors        prototypes as they were before projection, by branch, where they were projected
maps.safetensors         the activation map of each prototype over its training picture; not in old checkpoints
activations.safetensors  usual activation and range of each prototype in the training images; not in old checkpoints
calibration.json         how sure the model may be, and what is foreign to it; not in old checkpoints
split.json               ids of the training, validation and test images; not in old checkpoints
config.yaml              what was asked for
prototypes.json          classes, data set, and the training patch of each prototype
thumbs/                  pictures of the patches and of the images they come from
metrics.json             what the training measured
README.md                model card
MANIFEST.json            size and SHA-256 of each file above
measurements/            what was measured since then, a file for each measurement, and a card of them

A saved checkpoint is immutable: nothing in it is written again but the measurements, which the manifest does not cover.
The small files are read without torch; tensors when they are asked for.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from protoexplain.checkpoint.file_names import (
    ACTIVATIONS,
    CALIBRATION,
    CARD,
    CONFIG,
    MAPS,
    METRICS,
    MODEL,
    OPTIONAL,
    PROOF,
    PROTOTYPES,
    REQUIRED,
    SPLIT,
    THUMBS,
)
from protoexplain.checkpoint.measurements import joined, read_measurements, without, write_measurements
from protoexplain.checkpoint.model_card import measurements_card
from protoexplain.checkpoint.prototypes import DataInfo, PrototypeRecord, parse_contents
from protoexplain.checkpoint.split_ids import SplitIds, parse_split_ids
from protoexplain.checkpoint.stored_config import read_config
from protoexplain.class_names import owner_name
from protoexplain.config import RunConfig
from protoexplain.errors import UserError
from protoexplain.io.atomic import is_leftover, require_writable, write_file, write_folder
from protoexplain.io.json_values import finite
from protoexplain.io.manifest import (
    MANIFEST,
    MAX_JSON_BYTES,
    MEASUREMENTS,
    read_json_table,
    read_limited,
    read_manifest,
    verify_folder,
)
from protoexplain.models.registry import get_family

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from protoexplain.models.activation_statistics import ActivationStatistics
    from protoexplain.models.base import PrototypeModel
    from protoexplain.models.calibration import Calibration

log = logging.getLogger(__name__)
_KNOWN = re.compile(rf"{THUMBS}/[A-Za-z0-9_-]+\.(png|jpg)")
_FIX = "use a checkpoint as the program wrote it"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose small files were read.

    Args:
        path: The folder.
        sha256: Names its contents without the measurements.
        weights_sha256: Of the file of weights.
        config: The run that made it.
        classes: Names by label.
        data: What it was trained on.
        prototypes: By index.
        metrics: What was measured, in the training and since then; JSON values.
        versions: Package -> version.
        command: How to make it again; may be empty.

    Example:
        >>> import protoexplain as px
        >>> from pathlib import Path
        >>> checkpoint = px.Checkpoint.load(Path("checkpoints/planted-protopnet"))
        >>> checkpoint.config.family, len(checkpoint.classes), len(checkpoint.prototypes)
        ('protopnet', 20, 63)
        >>> checkpoint.owner_name(4) == checkpoint.classes[0]
        True
    """

    path: Path
    sha256: str
    weights_sha256: str
    config: RunConfig
    classes: tuple[str, ...]
    data: DataInfo
    prototypes: tuple[PrototypeRecord, ...]
    metrics: dict[str, Any]
    versions: Mapping[str, str]
    command: str

    @classmethod
    def load(cls, path: Path | str, verify: bool = True) -> Checkpoint:
        """Read a checkpoint; nothing in it is executed.

        A measurement that is damaged, or of other weights, is ignored; the log names it.

        Args:
            path: The folder.
            verify: Compare the SHA-256 of every file; otherwise names and sizes only.

        Raises:
            UserError: It is incomplete, changed, damaged, of a newer format, no checkpoint, or cannot be read.
        """
        path = Path(path)
        try:
            return cls._read(path, verify)
        except OSError as error:
            raise UserError(f"the checkpoint cannot be read: {error.strerror}", str(error.filename or path)) from error

    @classmethod
    def _read(cls, path: Path, verify: bool) -> Checkpoint:
        if not (path / MANIFEST).is_file():
            what = f"the folder has no {MANIFEST}, so it is no checkpoint" if path.is_dir() else "no such checkpoint"
            inner = next((path / name for name in ("best", "last") if (path / name / MANIFEST).is_file()), None)
            fix = f"give {inner}" if inner else "give the folder of a checkpoint, such as runs/birds/best"
            raise UserError(what, str(path), fix)
        manifest = verify_folder(path, verify)
        for name in sorted(set(REQUIRED) - set(manifest.files)):
            raise UserError(f"the checkpoint has no {name}", str(path), _FIX)
        for name in manifest.files:
            if name not in (*REQUIRED, *OPTIONAL) and not _KNOWN.fullmatch(name):
                raise UserError(f"a checkpoint holds no file '{name}'", str(path), _FIX)
        contents = parse_contents(read_limited(path / PROTOTYPES, MAX_JSON_BYTES), str(path / PROTOTYPES))
        pictures = {f"{THUMBS}/{name}" for r in contents.prototypes for name in (r.patch, r.source) if name}
        for name in sorted(pictures - set(manifest.files)):
            raise UserError(f"the picture {name} is missing", str(path), _FIX)
        weights_sha256 = manifest.files[MODEL].sha256
        measured = read_measurements(path / MEASUREMENTS, weights_sha256)
        for notice in measured.ignored:
            log.warning(notice)
        return cls(
            path=path,
            sha256=manifest.sha256,
            weights_sha256=weights_sha256,
            config=read_config(path / CONFIG, _FIX),
            classes=contents.classes,
            data=contents.data,
            prototypes=contents.prototypes,
            metrics=joined(read_json_table(path / METRICS), measured.values),
            versions=contents.versions,
            command=contents.command,
        )

    def model(self, device: str | torch.device = "cpu") -> PrototypeModel:
        """Build the model and fill it, in eval mode; global random states are left alone.

        Raises:
            UserError: Weights, configuration, classes and prototypes do not fit each other.
        """
        import torch

        from protoexplain.io.tensors import load_into
        from protoexplain.models.contract import Ownership

        family = get_family(self.config.family)
        with torch.random.fork_rng(devices=[]):
            model = family.build(self.config.model, len(self.classes), None, load_weights=False)
        numbers = [record.original_index for record in self.prototypes]
        if numbers != list(range(model.num_prototypes)):
            if numbers != sorted(set(numbers)) or max(numbers, default=0) >= model.num_prototypes:
                what = f"the original numbers of the prototypes do not fit a model with {model.num_prototypes}"
                raise UserError(what, str(self.path / PROTOTYPES), _FIX)
            model.select(torch.tensor(numbers, dtype=torch.long))
        model.set_ownership(Ownership.of_owners([record.owners for record in self.prototypes], len(self.classes)))
        load_into(model, self.path / MODEL)
        expected = list(zip(model.prototype_branch(), model.prototype_class.tolist(), strict=True))
        for record, (branch, label) in zip(self.prototypes, expected, strict=True):
            if (record.branch, record.label) != (branch, label):
                raise UserError(
                    f"prototype {record.index} is of branch {record.branch} and class {record.label},"
                    f" in the weights of {branch} and {label}",
                    str(self.path / PROTOTYPES),
                    _FIX,
                )
        model.set_statistics(self._statistics())
        model.calibration = self._calibration()
        return model.eval().to(device)

    def owner_name(self, prototype: int) -> str | None:
        """The names of the classes that own a prototype, in words; None where all share it."""
        return owner_name(self.prototypes[prototype].owners, self.classes)

    def require_classes(self, classes: tuple[str, ...], data: Path) -> None:
        """Refuse a data set whose classes are not the model's.

        Raises:
            UserError: Names the data set of the model.
        """
        if classes != self.classes:
            raise UserError(
                f"the data set has {len(classes)} classes, the model {len(self.classes)}, or their names differ",
                str(data),
                f"use the data set of the model: {self.data.name}",
            )

    def require_writable(self) -> None:
        """Refuse a checkpoint to which no measurements can be added.

        Raises:
            UserError: Says why.
        """
        require_writable(self.path / MEASUREMENTS)

    def copied(self, path: Path) -> Checkpoint:
        """A copy in another folder, with its measurements; a copy that is there already is taken.

        Raises:
            UserError: The folder holds something else, or cannot be written.
        """
        if not path.exists():
            write_folder(path, self.copy_files)
        copy = Checkpoint.load(path)
        if copy.sha256 != self.sha256:
            raise UserError(f"the folder is no copy of {self.path}", str(path), "choose another name")
        return copy

    def copy_files(self, folder: Path) -> None:
        """Copy all its files but the manifest into a folder, with its measurements.

        Raises:
            OSError: A file cannot be read or written.
        """
        measured = [file for file in (self.path / MEASUREMENTS).glob("*") if file.is_file() and not is_leftover(file)]
        names = [*read_manifest(self.path).files, *(f"{MEASUREMENTS}/{file.name}" for file in measured)]
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path / name, folder / name)

    @property
    def findings(self) -> tuple[str, ...]:
        """What was found out about its prototypes after the training, in sentences."""
        listed = self.metrics.get("findings")
        entries = listed if isinstance(listed, list) else []
        sentences = (entry.get("sentence") if isinstance(entry, dict) else entry for entry in entries)
        return tuple(sentence for sentence in sentences if isinstance(sentence, str))

    def before_projection(self) -> dict[str, Tensor]:
        """Prototypes before projection [P,D,h,w], branch by branch; empty where none were projected.

        Raises:
            UserError: The file is damaged.
        """
        from protoexplain.io.tensors import read_tensors

        path = self.path / PROOF
        tensors = read_tensors(path) if path.exists() else {}
        branches = dict.fromkeys(record.branch for record in self.prototypes)
        return {name: tensors[name] for name in branches if name in tensors}

    def split_ids(self) -> SplitIds | None:
        """The images that it was trained, chosen and tested on; None in checkpoints of older programs.

        Raises:
            UserError: The file is damaged.
        """
        path = self.path / SPLIT
        return parse_split_ids(read_limited(path, MAX_JSON_BYTES), str(path)) if path.exists() else None

    def prototype_maps(self) -> tuple[Tensor | None, ...]:
        """The activation map [H,W] of each prototype over its source picture, as it was before it was written.

        None where a prototype has no training image, and throughout in checkpoints of older programs.

        Raises:
            UserError: The file is damaged, or does not fit the prototypes.
        """
        from protoexplain.checkpoint.prototype_maps import read_maps

        path = self.path / MAPS
        return read_maps(path, self.prototypes) if path.exists() else (None,) * len(self.prototypes)

    def _statistics(self) -> ActivationStatistics | None:
        from protoexplain.checkpoint.activation_statistics import read_statistics

        path = self.path / ACTIVATIONS
        return read_statistics(path, len(self.prototypes)) if path.exists() else None

    def _calibration(self) -> Calibration | None:
        from protoexplain.checkpoint.calibration import parse_calibration

        path = self.path / CALIBRATION
        if not path.exists():
            return None
        return parse_calibration(read_limited(path, MAX_JSON_BYTES), len(self.classes), str(path))

    def picture(self, index: int, kind: Literal["patch", "source"]) -> bytes | None:
        """The encoded picture of a prototype, None where it has no training image.

        Raises:
            UserError: The file cannot be read.
        """
        name = getattr(self.prototypes[index], kind)
        return read_limited(self.path / THUMBS / name, MAX_JSON_BYTES) if name else None


def add_metrics(checkpoint: Path | Checkpoint, measured: Mapping[str, Any]) -> Checkpoint:
    """Write measurements beside a checkpoint, in place of those of the same name.

    Programs may do so at the same time: each measurement is a file of its own, and of two with one name the last wins.

    Args:
        checkpoint: Folder, or loaded before it was measured; what it held then is not written again.
        measured: Name -> JSON values; the tables of one name (such as ``interpretability``) are joined key by key.

    Returns:
        The checkpoint with all that was measured of it.

    Raises:
        UserError: No whole checkpoint, other weights than those that were loaded, or it cannot be written.
    """
    loaded = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint.load(checkpoint)
    place, weights = loaded.path / MEASUREMENTS, loaded.weights_sha256
    entry = read_manifest(loaded.path).files.get(MODEL)
    if entry is None or entry.sha256 != weights:
        raise UserError("the checkpoint has changed meanwhile: its weights are others", str(loaded.path))
    write_measurements(place, weights, without(loaded.metrics, finite(measured)))
    shown = None
    while (metrics := joined(loaded.metrics, read_measurements(place, weights).values)) != shown:
        write_file(place / CARD, measurements_card(metrics, weights))
        shown = metrics  # what another program added meanwhile is not in this card, which may have replaced its card
    return replace(loaded, metrics=metrics)
