"""Classes that are probably not meant: the same name written twice, or nothing to learn from."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from pathlib import PurePosixPath

from protoexplain.data.masks_among import likely_masks
from protoexplain.data.records import ImageSet
from protoexplain.data.source import Problems


def class_hints(image_set: ImageSet) -> tuple[str, ...]:
    """One sentence for each kind of doubtful class, with the names."""
    problems, alike = Problems(), defaultdict(list)
    for name in image_set.classes:
        alike[_key(name)].append(name)
    for names in alike.values():
        if len(names) > 1:
            problems.add("names that differ only in case, spaces or form, probably of one class",
                         " = ".join(map(repr, names)))  # fmt: skip
    for mask in sorted(likely_masks([PurePosixPath(f"{name}.x") for name in image_set.classes])):
        problems.add("classes that are named as masks of others, and are probably none", mask.stem)
    train, test = image_set.counts("train"), image_set.counts("test")
    for name, learned, tested in zip(image_set.classes, train, test, strict=True):
        if not learned and any(train):
            where = "in the test images alone" if tested else "without training images"
            problems.add(f"classes {where}, which the model cannot learn", name)
    return (*problems.sentences(), *(() if any(train) else ("there is no training image",)))


def _key(name: str) -> str:
    """Equal for names that people would not tell apart."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(plain.replace("_", " ").replace("-", " ").split())
