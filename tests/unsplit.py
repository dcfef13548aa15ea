"""A folder without a published split, and models that were made on it with a split of their own."""

import json
import shutil

import numpy as np
import yaml
from metrics.measured_checkpoints import keep_checkpoint
from PIL import Image

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.io.manifest import MANIFEST, manifest_of

SEED = 7


def add_pictures(root, name, numbers):
    """Noise of 40 x 30 pixels, into the folder of a class."""
    (root / name).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng([*name.encode(), number]).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name / f"{number}.png")


def class_folders(root, first=0):
    """Four classes of ten pictures; two of each class are test images, chosen by a seed."""
    for name in ("daisy", "poppy", "rose", "tulip"):
        add_pictures(root, name, range(first, first + 10))
    return root


def seeded_checkpoint(data, path, split_seed=SEED, training_seed=SEED):
    """A model whose test images are not those that the folder gives by default."""
    settings = {"image_size": 32, "split_seed": split_seed}
    return keep_checkpoint("protopnet", data, path, data=settings, training={"seed": training_seed})


def as_of_older_program(checkpoint, path):
    """The checkpoint as it was written before checkpoints listed their images and held maps."""
    shutil.copytree(checkpoint.path, path)
    for name in ("split.json", "maps.safetensors"):
        (path / name).unlink()
    contents = json.loads((path / "prototypes.json").read_text())
    (path / "prototypes.json").write_text(json.dumps({**contents, "format": 2}))
    config = yaml.safe_load((path / "config.yaml").read_text())
    del config["data"]["split_seed"]
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    (path / MANIFEST).write_text(manifest_of(path).to_json())
    return Checkpoint.load(path)


def ids(records):
    return {record.id for record in records}
