"""Write a checkpoint: the folder that `checkpoint` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

import protoexplain
from protoexplain.checkpoint.activation_statistics import write_statistics
from protoexplain.checkpoint.calibration import calibration_json
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.file_names import (
    ACTIVATIONS,
    CALIBRATION,
    CARD,
    CONFIG,
    MAPS,
    METRICS,
    MODEL,
    PROOF,
    PROTOTYPES,
    SPLIT,
    THUMBS,
)
from protoexplain.checkpoint.model_card import model_card
from protoexplain.checkpoint.prototype_maps import write_maps
from protoexplain.checkpoint.prototypes import FORMAT, Contents, DataInfo, PrototypeRecord
from protoexplain.checkpoint.split_ids import SplitIds
from protoexplain.config import RunConfig
from protoexplain.io.atomic import write_folder
from protoexplain.io.json_values import finite
from protoexplain.io.tensors import write_tensors
from protoexplain.models.base import PrototypeModel

_PACKAGES = ("torch", "torchvision", "timm", "safetensors", "numpy", "pillow")


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
