"""A trained model as one folder that needs nothing else: weights, prototypes with pictures, their proof.

model.safetensors        all tensors of the model
proof.safetensors        prototypes as they were before projection, by branch, where they were projected
activations.safetensors  usual activation and range of each prototype in the training images; not in old checkpoints
config.yaml              what was asked for
prototypes.json          classes, data set, and the training patch of each prototype
thumbs/                  pictures of the patches and of the images they come from
metrics.json             what was measured
README.md                model card
MANIFEST.json            size and SHA-256 of each file
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock
from torch import Tensor

import protoexplain
from protoexplain.config import MAX_YAML_BYTES, RunConfig, parse, read_yaml
from protoexplain.errors import UserError
from protoexplain.io.atomic import is_leftover, write_folder
from protoexplain.io.json_values import finite
from protoexplain.io.manifest import MANIFEST, MAX_JSON_BYTES, read_limited, verify_folder
from protoexplain.io.model_card import model_card
from protoexplain.io.prototypes import FORMAT, Contents, DataInfo, PrototypeRecord, parse_contents
from protoexplain.io.tensors import load_into, read_tensors, write_tensors
from protoexplain.models.activation_statistics import ActivationStatistics
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family

MODEL, PROOF, ACTIVATIONS = "model.safetensors", "proof.safetensors", "activations.safetensors"
CONFIG, PROTOTYPES, METRICS, CARD, THUMBS = (
    "config.yaml",
    "prototypes.json",
    "metrics.json",
    "README.md",
    "thumbs",
)
REQUIRED = (MODEL, CONFIG, PROTOTYPES, METRICS, CARD)

_KNOWN = re.compile(rf"{THUMBS}/[A-Za-z0-9_-]+\.(png|jpg)")
_PACKAGES = ("torch", "torchvision", "timm", "safetensors", "numpy", "pillow")
_FIX = "use a checkpoint as the program wrote it"
_DEPTH = 2


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder whose small files were read.

    Args:
        path: The folder.
        sha256: Names its contents.
        weights_sha256: Of the file of weights; stays when measurements are added.
        config: The run that made it.
        classes: Names by label.
        data: What it was trained on.
        prototypes: By index.
        metrics: What was measured; JSON values.
        versions: Package -> version.
        command: How to make it again; may be empty.
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

        Args:
            path: The folder.
            verify: Compare the SHA-256 of every file; otherwise names and sizes only.

        Raises:
            UserError: It is incomplete, changed, damaged, of a newer format, or no checkpoint.
        """
        if not (path / MANIFEST).is_file():
            what = f"the folder has no {MANIFEST}, so it is no checkpoint" if path.is_dir() else "no such checkpoint"
            raise UserError(what, str(path), "give the folder of a checkpoint, such as runs/birds/best")
        manifest = verify_folder(path, verify)
        for name in sorted(set(REQUIRED) - set(manifest.files)):
            raise UserError(f"the checkpoint has no {name}", str(path), _FIX)
        for name in manifest.files:
            if name not in (*REQUIRED, PROOF, ACTIVATIONS) and not _KNOWN.fullmatch(name):
                raise UserError(f"a checkpoint holds no file '{name}'", str(path), _FIX)
        contents = parse_contents(read_limited(path / PROTOTYPES, MAX_JSON_BYTES), str(path / PROTOTYPES))
        pictures = {f"{THUMBS}/{name}" for r in contents.prototypes for name in (r.patch, r.source) if name}
        for name in sorted(pictures - set(manifest.files)):
            raise UserError(f"the picture {name} is missing", str(path), _FIX)
        return cls(
            path=path,
            sha256=manifest.sha256,
            weights_sha256=manifest.files[MODEL].sha256,
            config=_read_config(path / CONFIG),
            classes=contents.classes,
            data=contents.data,
            prototypes=contents.prototypes,
            metrics=_read_metrics(path / METRICS),
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
        kept = [record.original_index for record in self.prototypes]
        if kept != list(range(model.num_prototypes)):
            if kept != sorted(set(kept)) or max(kept, default=0) >= model.num_prototypes:
                what = f"the original numbers of the prototypes do not fit a model with {model.num_prototypes}"
                raise UserError(what, str(self.path / PROTOTYPES), _FIX)
            model.keep(torch.tensor(kept, dtype=torch.long))
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
        model.know(self._statistics())
        return model.eval().to(device)

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

    @property
    def findings(self) -> tuple[str, ...]:
        """What was found out about its prototypes after the training, in sentences."""
        told = self.metrics.get("findings")
        entries = told if isinstance(told, list) else []
        sentences = (entry.get("sentence") if isinstance(entry, dict) else entry for entry in entries)
        return tuple(sentence for sentence in sentences if isinstance(sentence, str))

    def proof(self) -> dict[str, Tensor]:
        """Prototypes before projection [P,D,h,w], branch by branch; empty where none were projected.

        Raises:
            UserError: The file is damaged.
        """
        path = self.path / PROOF
        tensors = read_tensors(path) if path.exists() else {}
        branches = dict.fromkeys(record.branch for record in self.prototypes)
        return {name: tensors[name] for name in branches if name in tensors}

    def _statistics(self) -> ActivationStatistics | None:
        """What the training images give to each prototype, None in old checkpoints.

        Raises:
            UserError: The file is damaged, or about other prototypes.
        """
        path = self.path / ACTIVATIONS
        if not path.exists():
            return None
        tensors, wanted = read_tensors(path), [field.name for field in fields(ActivationStatistics)]
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if shapes != dict.fromkeys(wanted, (len(self.prototypes),)):
            what = f"{path.name} does not hold {' and '.join(wanted)} of {len(self.prototypes)} prototypes"
            raise UserError(what, str(path), _FIX)
        return ActivationStatistics(**tensors)

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
    proof: Mapping[str, Tensor],
    metrics: Mapping[str, Any],
    command: str = "",
    replace: bool = False,
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
        proof: Branch -> prototypes before projection; empty where none were projected.
        metrics: JSON values; numbers that are not finite become null.
        command: How to make it again.
        replace: Whether an existing checkpoint may be replaced.

    Raises:
        UserError: The folder exists, or cannot be written; an existing checkpoint is then as before.
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
        if proof:
            write_tensors(folder / PROOF, proof)
        if model.statistics is not None:
            write_tensors(folder / ACTIVATIONS, vars(model.statistics))
        (folder / CONFIG).write_bytes(config.to_yaml().encode())
        (folder / PROTOTYPES).write_bytes(contents.to_json())
        _write_metrics(folder, config, contents, plain_metrics)

    write_folder(path, fill, replace)
    return Checkpoint.load(path)


def add_metrics(path: Path, measured: Mapping[str, Any]) -> Checkpoint:
    """Add measurements to a checkpoint, or replace those of the same name; all else in it stays as it is.

    Args:
        path: The folder; it is replaced as a whole, so that a reader finds the old or the new one.
        measured: Name -> JSON values; the tables of one name (such as ``interpretability``) are joined key by key.

    Raises:
        UserError: No whole checkpoint, or it cannot be written.
    """
    with FileLock(path.with_name(f".{path.name}.lock")):
        checkpoint = Checkpoint.load(path)
        metrics = _joined(checkpoint.metrics, finite(measured))
        contents = parse_contents(read_limited(path / PROTOTYPES, MAX_JSON_BYTES), str(path / PROTOTYPES))

        def fill(folder: Path) -> None:
            shutil.copytree(path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
            _write_metrics(folder, checkpoint.config, contents, metrics)

        write_folder(path, fill, replace=True)
        return Checkpoint.load(path, verify=False)


def _joined(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of one name are joined by their keys; an entry is replaced as a whole, so that none is half old."""
    both = {name for name in old.keys() & new.keys() if isinstance(old[name], dict) and isinstance(new[name], dict)}
    return {**old, **new, **{name: {**old[name], **new[name]} for name in both}}


def _write_metrics(folder: Path, config: RunConfig, contents: Contents, metrics: Mapping[str, Any]) -> None:
    (folder / METRICS).write_bytes(json.dumps(metrics, indent=1, allow_nan=False).encode())
    (folder / CARD).write_bytes(model_card(config, contents, metrics).encode())


def find_checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders at or at most two levels below a folder, such as those of several runs."""
    found = [place.parent for depth in range(_DEPTH + 1) for place in folder.glob("*/" * depth + MANIFEST)]
    return sorted(place for place in found if (place / MODEL).is_file() and not is_leftover(place))


def shipped_checkpoints() -> Path:
    """The folder of the checkpoints that come with the program."""
    package = Path(protoexplain.__file__).parent
    repository = package.parent
    if (repository / "pyproject.toml").is_file() and (repository / "checkpoints").is_dir():
        return repository / "checkpoints"
    return package / "_checkpoints"


def _read_config(path: Path) -> RunConfig:
    text = read_limited(path, MAX_YAML_BYTES).decode(errors="replace")
    content = read_yaml(text, str(path))
    if not isinstance(content, dict):
        raise UserError("the configuration is not a table of keys", str(path), _FIX)
    try:
        return parse(content)
    except UserError as error:
        raise UserError(error.what, str(path), _FIX) from error


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        metrics = json.loads(read_limited(path, MAX_JSON_BYTES), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path.name} is not JSON: {error}", str(path), _FIX) from error
    if not isinstance(metrics, dict):
        raise UserError(f"{path.name} is not a table of keys", str(path), _FIX)
    return metrics


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
