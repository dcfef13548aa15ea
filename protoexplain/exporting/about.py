"""What an exported file says of itself, so that pictures are prepared and answers are read as in this program."""

from __future__ import annotations

import json

import protoexplain
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.exporting.network import ExportedNetwork


def about(checkpoint: Checkpoint, network: ExportedNetwork) -> dict[str, str]:
    """Key -> text; lists are JSON.

    Args:
        checkpoint: That is exported.
        network: Of the model that was loaded from it.
    """
    model = network.model
    mean, std = (getattr(model.backbone, name, None) for name in ("mean", "std"))
    size = checkpoint.config.data.image_size
    cut = "cut to the object's box, then " if checkpoint.data.crop == "box" else ""
    return {
        "protoexplain": protoexplain.__version__,
        "checkpoint_sha256": checkpoint.sha256,
        "weights_sha256": checkpoint.weights_sha256,
        "family": checkpoint.config.family,
        "data": checkpoint.data.name,
        "classes": json.dumps(checkpoint.classes, ensure_ascii=False),
        "image_size": json.dumps([size, size]),
        "input": f"RGB, float32 in [0, 1], {cut}resized with PIL's bilinear filter, aspect ratio not kept",
        "normalisation": "inside the network: (image - mean) / std",
        "mean": json.dumps([] if mean is None else mean.flatten().tolist()),
        "std": json.dumps([] if std is None else std.flatten().tolist()),
        "outputs": json.dumps(network.outputs),
        "score_unit": model.score_unit.name,
    }
