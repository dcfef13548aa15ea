"""Planted birds drawn again without a region or with other surroundings: the files that a set would have held.

The regions are the parts; the objects of the background are another scene in place of the bird's own, no perch, and
nothing in front of the bird (`Prop`).  For contrasts a bird is drawn whose front half, from the breast on, looks like
one class and whose rest like another: of the class of the image and the next class that is not its twin, which of
them has the front half alternates from image to image.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protoexplain.data.class_parts import ClassParts, PartContrast, PartSet, members_of, part_set
from protoexplain.data.interventions import PartMap, Removal
from protoexplain.data.records import ImageRecord, Split
from protoexplain.errors import UserError
from protoexplain.io.images import load_image
from protoexplain.planted.classes import REGIONS, BirdClass, Region, plan
from protoexplain.planted.picture import Changes, Prop, Rendering, render
from protoexplain.planted.writer import SETTINGS_FILE, image_seed, jpeg

FRONT: Final[tuple[Region, ...]] = ("crown", "throat", "breast", "beak", "eye")
_FRONT: Final[PartSet] = part_set(REGIONS.index(region) for region in FRONT)
_ALL: Final[PartSet] = (1 << len(REGIONS)) - 1
_AGAIN: Final = "draw the set again with protoexplain data draw"


class PlantedInterventions:
    """Draws any change of the images of a folder of planted birds.

    Args:
        root: The folder.

    Raises:
        UserError: Its settings cannot be read.
    """

    def __init__(self, root: Path) -> None:
        path = root / SETTINGS_FILE
        try:
            settings: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self._seed, self._size = int(settings["seed"]), int(settings["size"])
            self._per_class = int(settings["train_per_class"])
            self._birds = plan(int(settings["classes"]), self._seed).birds
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"the settings of the drawing cannot be read: {error!r}", str(path), _AGAIN) from error
        self.class_parts = ClassParts(REGIONS, _variants(self._birds))
        self.most_objects = len(Prop)

    def objects(self, record: ImageRecord) -> int:
        return self.most_objects

    def image(self, record: ImageRecord, removal: Removal) -> NDArray[np.uint8]:
        drawn = self._drawn(record, removal)
        return load_image(io.BytesIO(jpeg(drawn))).rgb

    def part_map(self, record: ImageRecord, hybrid: bool = False) -> PartMap:
        drawn = self._drawn(record, Removal(hybrid=hybrid))
        labels = np.where(drawn.mask, drawn.regions, len(REGIONS) + 1 + drawn.props).astype(np.uint8)
        return PartMap(labels, tuple(range(len(REGIONS) + len(Prop))))

    def contrast(self, record: ImageRecord) -> PartContrast | None:
        other = _other(record.label, len(self._birds))
        if other == record.label:
            return None
        front = self._number(record)[1] % 2 == 0
        own = _FRONT if front else _ALL & ~_FRONT
        return PartContrast((record.label, other), (own, _ALL & ~own), hybrid=True)

    def _drawn(self, record: ImageRecord, removal: Removal) -> Rendering:
        bird = self._birds[record.label]
        if removal.hybrid and (contrast := self.contrast(record)) is not None:
            other = self._birds[contrast.classes[1]]
            for region in members_of(contrast.shared[1]):
                bird = bird.with_appearance(REGIONS[region], other.appearances[region])
        split, number = self._number(record)
        seed = image_seed(self._seed, split, record.label, number)
        item = removal.item
        changes = Changes(
            frozenset(REGIONS[part] for part in members_of(removal.parts)),
            number if item == Prop.SCENERY else None,
            item != Prop.PERCH,
            item != Prop.FOREGROUND,
        )
        return render(bird, seed, self._size, changes)

    def _number(self, record: ImageRecord) -> tuple[Split, int]:
        """The split that an image was drawn for, and its number therein."""
        found = re.search(r"_(\d+)$", Path(record.id).stem)
        if found is None:
            raise UserError("this is no image of planted birds", record.id, _AGAIN)
        serial = int(found[1]) - 1
        return ("train", serial) if serial < self._per_class else ("test", serial - self._per_class)


@lru_cache(maxsize=8)
def _variants(birds: tuple[BirdClass, ...]) -> tuple[tuple[int, ...], ...]:
    """[C][R]: which of the looks of a region each class has."""
    columns = []
    for region in range(len(REGIONS)):
        looks = list(dict.fromkeys(bird.appearances[region] for bird in birds))
        columns.append([looks.index(bird.appearances[region]) for bird in birds])
    return tuple(zip(*columns, strict=True))


def _other(label: int, classes: int) -> int:
    """The class after a class and its twin."""
    return (label + 2) % classes
