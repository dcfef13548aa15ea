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

Once it is saved, nothing in it is written again but the measurements, which the manifest does not cover.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import protoexplain
from protoexplain.checkpoint.activation_statistics import ACTIVATIONS, read_statistics, write_statistics
from protoexplain.checkpoint.calibration import CALIBRATION, calibration_json, parse_calibration
from protoexplain.checkpoint.measurements import joined, read_measurements, without, write_measurements
from protoexplain.checkpoint.model_card import measurements_card, model_card
from protoexplain.checkpoint.prototype_maps import MAPS, read_maps, write_maps
from protoexplain.checkpoint.prototypes import FORMAT, Contents, DataInfo, PrototypeRecord, ownership_of, parse_contents
from protoexplain.checkpoint.split_ids import SPLIT, SplitIds, parse_split_ids
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
from protoexplain.io.tensors import load_into, read_tensors, write_tensors
from protoexplain.models.activation_statistics import ActivationStatistics
from protoexplain.models.base import PrototypeModel
from protoexplain.models.calibration import Calibration
from protoexplain.models.registry import get_family

MODEL, PROOF = "model.safetensors", "proof.safetensors"
CONFIG, PROTOTYPES, METRICS, CARD, THUMBS = (
    "config.yaml",
    "prototypes.json",
    "metrics.json",
    "README.md",
    "thumbs",
)
REQUIRED = (MODEL, CONFIG, PROTOTYPES, METRICS, CARD)
OPTIONAL = (PROOF, MAPS, ACTIVATIONS, CALIBRATION, SPLIT)

log = logging.getLogger(__name__)
_KNOWN = re.compile(rf"{THUMBS}/[A-Za-z0-9_-]+\.(png|jpg)")
_PACKAGES = ("torch", "torchvision", "timm", "safetensors", "numpy", "pillow")
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
        ('protopnet', 20, 100)
        >>> checkpoint.owner_name(0) == checkpoint.classes[0]
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
    def load(cls, path: Path, verify: bool = True) -> Checkpoint:
        """Read a checkpoint; nothing in it is executed.

        A measurement that is damaged, or of other weights, is ignored; the log names it.

        Args:
            path: The folder.
            verify: Compare the SHA-256 of every file; otherwise names and sizes only.

        Raises:
            UserError: It is incomplete, changed, damaged, of a newer format, no checkpoint, or cannot be read.
        """
        try:
            return cls._read(path, verify)
        except OSError as error:
            raise UserError(f"the checkpoint cannot be read: {error.strerror}", str(error.filename or path)) from error

    @classmethod
    def _read(cls, path: Path, verify: bool) -> Checkpoint:
        if not (path / MANIFEST).is_file():
            what = f"the folder has no {MANIFEST}, so it is no checkpoint" if path.is_dir() else "no such checkpoint"
            raise UserError(what, str(path), "give the folder of a checkpoint, such as runs/birds/best")
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
        family = get_family(self.config.family)
        with torch.random.fork_rng(devices=[]):
            model = family.build(self.config.model, len(self.classes), None, load_weights=False)
        numbers = [record.original_index for record in self.prototypes]
        if numbers != list(range(model.num_prototypes)):
            if numbers != sorted(set(numbers)) or max(numbers, default=0) >= model.num_prototypes:
                what = f"the original numbers of the prototypes do not fit a model with {model.num_prototypes}"
                raise UserError(what, str(self.path / PROTOTYPES), _FIX)
            model.select(torch.tensor(numbers, dtype=torch.long))
        model.set_ownership(ownership_of(self.prototypes, len(self.classes)))
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
        path = self.path / MAPS
        return read_maps(path, self.prototypes) if path.exists() else (None,) * len(self.prototypes)

    def _statistics(self) -> ActivationStatistics | None:
        path = self.path / ACTIVATIONS
        return read_statistics(path, len(self.prototypes)) if path.exists() else None

    def _calibration(self) -> Calibration | None:
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


def save_checkpoint(
    path: Path,
    *,
    model: PrototypeModel,
    config: RunConfig,
    classes: Sequence[str],
    data: DataInfo,
    records: Sequence[PrototypeRecord],
    pictures: Mapping[str, bytes],
    before_projection: Mapping[str, Tensor],
    metrics: Mapping[str, Any],
    split: SplitIds | None = None,
    maps: Sequence[Tensor | None] | None = None,
    command: str = "",
) -> Checkpoint:
    """Write a checkpoint and read it back.

    Args:
        path: The folder to be.
        model: On any device; what it knows of its activations is kept, too.
        config: That built the model.
        classes: Names by label.
        data: What it was trained on.
        records: One for each prototype, in order.
        pictures: File name -> encoded picture, as the records name them.
        before_projection: Branch -> prototypes before projection; empty where none were projected.
        metrics: JSON values; numbers that are not finite become null.
        split: The images that it was trained, chosen and tested on; None where that is unknown.
        maps: Activation map [H,W] of each prototype over its source picture, None where it has none.
        command: How to make it again.

    Raises:
        UserError: The folder exists, and stays as it is; or it cannot be written.
    """
    if [record.index for record in records] != list(range(model.num_prototypes)):
        raise ValueError(f"{model.num_prototypes} prototypes need as many records, in order")
    program = protoexplain.__version__
    versions = {"protoexplain": program, **{name: version(name) for name in _PACKAGES}}
    contents = Contents(FORMAT, program, command, versions, tuple(classes), data, tuple(records))
    plain_metrics = finite(metrics)

    def fill(folder: Path) -> None:
        (folder / THUMBS).mkdir()
        for name, picture in pictures.items():
            (folder / THUMBS / name).write_bytes(picture)
        write_tensors(folder / MODEL, model.state_dict())
        if before_projection:
            write_tensors(folder / PROOF, before_projection)
        if split is not None:
            (folder / SPLIT).write_bytes(split.to_json())
        if maps is not None:
            write_maps(folder / MAPS, maps)
        if model.statistics is not None:
            write_statistics(folder / ACTIVATIONS, model.statistics)
        if model.calibration is not None:
            (folder / CALIBRATION).write_bytes(calibration_json(model.calibration))
        (folder / CONFIG).write_bytes(config.to_yaml().encode())
        (folder / PROTOTYPES).write_bytes(contents.to_json())
        (folder / METRICS).write_bytes(json.dumps(plain_metrics, indent=1, allow_nan=False).encode())
        (folder / CARD).write_bytes(model_card(config, contents, plain_metrics).encode())

    write_folder(path, fill)
    return Checkpoint.load(path)


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
