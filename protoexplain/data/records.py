"""What a data set is to the rest of the package: a list of image records and a table of class names."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from protoexplain.data.geometry import Box

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image.

    Args:
        id: Path below the data set's root, with forward slashes; stable across machines.
        path: The file; one in a tar file as if that were a folder.
        label: Class index from 0.
        split: ``train`` or ``test``, or ``validation`` where the data set names such images.
        box: Bounding box of the object in source pixels.
        parts: Part name -> (x, y) in source pixels, or None where the part does not show.
        mask: Segmentation picture (non-zero = object) of the same size as the image; the image's own file where its
            alpha channel shows the object.
    """

    id: str
    path: Path
    label: int
    split: Split
    box: Box | None = None
    parts: Mapping[str, tuple[float, float] | None] | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class ImageSet:
    """A data set that was read.

    Args:
        name: Short name for reports.
        root: Its folder.
        source: The layout it was read as (``cub``, ``cars``, ``dogs``, ``funnybirds``, ``table``,
            ``shards``, ``folder``).
        classes: Class names by label.
        records: All images, ordered by id within the published order.
        part_names: Part names in published order, empty if the set has none.
        problems: What was found wrong and left out, one sentence each.
        drawn_split: Whether test images were chosen by a seed, because the data set names none.
        remarks: What was decided in reading that may not be expected, one sentence each.
    """

    name: str
    root: Path
    source: str
    classes: tuple[str, ...]
    records: tuple[ImageRecord, ...]
    part_names: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())
    drawn_split: bool = False
    remarks: tuple[str, ...] = ()

    def split(self, split: Split) -> list[ImageRecord]:
        return [record for record in self.records if record.split == split]

    def counts(self, split: Split) -> list[int]:
        """Number of images of each class in a split."""
        count = Counter(record.label for record in self.records if record.split == split)
        return [count[label] for label in range(len(self.classes))]

    def fingerprint(self) -> str:
        """SHA-256 over ids, labels, splits and boxes: equal exactly if the same work is described."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for record in self.records:
            box = record.box.as_list() if record.box else None
            digest.update(f"{record.id}|{record.label}|{record.split}|{box}\n".encode())
        return digest.hexdigest()
