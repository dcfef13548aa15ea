"""FunnyBirds (Hesse et al. 2023) as published: folders of classes by number, part maps, and images without parts.

A set without training images, made to test explanations on, tells the box of the bird from its part maps, so that
models that were trained on birds cut to their boxes see it as they have learned.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from protoexplain.data.funnybirds import MAPS, bird_labels, picture, read_class_parts, read_scenes
from protoexplain.data.geometry import Box
from protoexplain.data.records import ImageRecord, ImageSet, Split
from protoexplain.data.source import Problems, Source, image_id
from protoexplain.errors import UserError

_SPLITS: tuple[Split, ...] = ("train", "test")
_NEEDED = ("classes.json", "parts.json", "test")


def detect(root: Path) -> bool:
    """Whether the tables of classes and parts lie beside test images."""
    return all((root / name).exists() for name in _NEEDED)


def read(root: Path, seed: int = 0) -> ImageSet:
    """Read the lists of scenes.  The published split is used, so the seed has no effect.

    Raises:
        UserError: A table cannot be read, or no image is left.
    """
    count = len(read_class_parts(root).variants)
    problems, records = Problems(), []
    scenes = {split: read_scenes(root, split, problems) for split in _SPLITS}
    boxed = not scenes["train"]
    for split, listed in scenes.items():
        for scene in listed:
            if not 0 <= scene.label < count:
                problems.leave_out("images of a class that is not in classes.json, left out", f"{split}/{scene.folder}")
                continue
            path = picture(root / split, scene.folder)
            if path is None:
                problems.add("images listed but not found, left out", f"{split}/{scene.folder}")
                continue
            box = _box(root, scene.folder) if boxed else None
            records.append(ImageRecord(image_id(path, root), path, scene.label, split, box))
    problems.require_few(sum(map(len, scenes.values())), root, "unpack the whole archive again")
    if not records:
        raise UserError("none of the listed images is there", str(root), f"expected {SOURCE.expected}")
    classes = tuple(f"FunnyBird {label:02}" for label in range(count))
    return ImageSet(root.name, root, "funnybirds", classes, tuple(records), (), problems.sentences())


def _box(root: Path, folder: str) -> Box | None:
    """Tight bounds of all that shows of the bird."""
    path = picture(root / MAPS, folder)
    if path is None:
        return None
    bird = bird_labels(path)
    rows, columns = np.flatnonzero(bird.any(1)), np.flatnonzero(bird.any(0))
    if not len(rows):
        return None
    return Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))


SOURCE = Source(
    "funnybirds",
    detect,
    read,
    "classes.json, parts.json, dataset_test.json, test/<class>/*.png, test_part_map/ (FunnyBirds)",
)
