"""Checkpoints of tiny untrained models."""

import pytest
import torch

from protoexplain.checkpoint.prototypes import DataInfo, PrototypeRecord
from protoexplain.checkpoint.save import save_checkpoint
from protoexplain.config import parse
from protoexplain.errors import UserError
from protoexplain.io.manifest import MANIFEST, manifest_of
from protoexplain.models.registry import get_family

CLASSES = ("Wren", "Robin")
DATA = DataInfo("Birds", "cub", "f" * 64, "box", 10, 2, 3)
BACKBONE = {"name": "test_efficientnet", "stride": 16, "weights": "none"}


def config_of(family, **data):
    raw = {
        "family": family,
        "model": {"backbone": BACKBONE, **get_family(family).tiny},
        "data": {"image_size": 64, **data},
    }
    return parse(raw)


def built(family, seed=0):
    torch.manual_seed(seed)
    config = config_of(family)
    model = get_family(family).build(config.model, len(CLASSES), None, load_weights=False).eval()
    return config, model


def records_of(model):
    return tuple(
        PrototypeRecord(
            index=i,
            branch=branch,
            label=label,
            original_index=i,
            projected=True,
            image_id=f"{label}/ä <b>.jpg",
            image_sha256="0" * 64,
            row=1,
            column=2,
            map_height=4,
            map_width=4,
            similarity=-0.1 * i,
            box=(1.5, 2.0, 30.25, 40.0),
            input_box=(8.0, 8.0, 24.0, 24.0),
            source_size=(500, 375),
            patch=f"patch-{i}.jpg",
            source="image-0.jpg",
        )
        for i, (branch, label) in enumerate(zip(model.prototype_branch(), model.ownership.labels.tolist(), strict=True))
    )


def save(path, config, model, records=None, **changes):
    records = records_of(model) if records is None else records
    content = {
        "classes": CLASSES,
        "data": DATA,
        "pictures": {name: b"picture of " + name.encode() for r in records for name in (r.patch, r.source) if name},
        "before_projection": {name: branch.prototypes + 1 for name, branch in model.named_branches()},
        "metrics": {
            "test_accuracy": 0.75,
            "nothing": float("nan"),
            "projections": [{"stage": "joint", "test_before": 0.5}],
        },
        "command": "protoexplain train --preset tiny",
        **changes,
    }
    return save_checkpoint(path, model=model, config=config, records=records, **content)


def reseal(folder):
    """Make the manifest fit what is there, as somebody who tampers would."""
    (folder / MANIFEST).write_text(manifest_of(folder).to_json())


def refused(action):
    """The error's first line, which is its only one."""
    with pytest.raises(UserError) as caught:
        action()
    assert "\n" not in caught.value.what
    return f"{caught.value.what} | {caught.value.where} | {caught.value.fix}"
