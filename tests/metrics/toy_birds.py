"""Birds of coloured squares that can be drawn without any part, and models that know exactly some of the parts.

Each variant of a part has a colour of its own, and so has each object of the background; a feature map says which
colour shows at each pixel.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from protoexplain.data.class_parts import ClassParts, members_of
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.interventions import PartMap, Removal
from protoexplain.data.records import ImageRecord
from protoexplain.metrics.observe.model_description import describe_model
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.observe.passes import Chunk
from protoexplain.metrics.observe.plan import plan_passes
from protoexplain.metrics.settings import MeasureSettings
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.contract import Ownership
from protoexplain.models.heads import LinearHead
from protoexplain.models.similarity import DotProduct

SIZE = 48
NAMES = ("beak", "eye", "foot", "tail", "wing")
VARIANTS = ((0, 0, 0, 0, 0), (1, 0, 0, 1, 1), (2, 1, 1, 0, 0), (3, 1, 2, 2, 1), (4, 2, 1, 1, 2))
"""Beaks alone tell classes apart; class 0 shares eye and foot with class 1, tail and wing with class 2."""
LAST = 4
"""The class without images, which is answered where nothing is known."""
KINDS = [(part, variant) for part in range(5) for variant in sorted({row[part] for row in VARIANTS})]
OBJECTS = 3
BODY = len(KINDS) + OBJECTS
"""Colour of the body."""
_PLACES = ((2, 20), (2, 36), (38, 8), (20, 38), (20, 4))


def _colour(number):
    return (20 + 10 * number, 250 - 10 * number, 7)


class ToyBirds:
    """Draws the image of a record: the class's parts, a body, and two objects; one of them goes with the class."""

    class_parts = ClassParts(NAMES, VARIANTS)
    most_objects = 2

    def __init__(self):
        self.drawn = 0

    def _labels(self, record, removal):
        labels, colours = np.zeros((SIZE, SIZE), np.uint8), np.zeros((SIZE, SIZE, 3), np.uint8)
        colours[16:32, 16:32] = _colour(BODY)
        for part, (y, x) in enumerate(_PLACES):
            if part not in members_of(removal.parts):
                colours[y : y + 6, x : x + 6] = _colour(KINDS.index((part, VARIANTS[record.label][part])))
                labels[y : y + 6, x : x + 6] = part + 1
        for item, (number, x) in enumerate(((record.label % 2, 2), (2, 11))):
            if removal.item != item:
                colours[2:7, x : x + 5] = _colour(len(KINDS) + number)
                labels[2:7, x : x + 5] = len(NAMES) + item + 1
        return labels, colours

    def objects(self, record):
        return 2

    def image(self, record, removal):
        self.drawn += 1
        return self._labels(record, removal)[1]

    def part_map(self, record, hybrid=False):
        return PartMap(self._labels(record, Removal())[0], tuple(range(7)))

    def contrast(self, record):
        return self.class_parts.contrast(record.label)


class _Colours(nn.Module):
    """Pictures -> [B,D,S,S], which of the colours shows."""

    channels = BODY + 1

    def __init__(self):
        super().__init__()
        self.register_buffer("colours", torch.tensor([_colour(number) for number in range(self.channels)]) / 255)

    def forward(self, images):
        return ((images[:, None] - self.colours[None, :, :, None, None]).abs().amax(2) < 0.01).float()


def model_of(weights, ownership=None):
    """A model with the weights [C,D] of the colours; each prototype is a colour, by default of all classes."""
    ownership = ownership or Ownership.of_all(BODY + 1, len(VARIANTS))
    head = LinearHead(ownership)
    head.weight.data = weights
    branch = Branch(nn.Identity(), torch.eye(BODY + 1).view(-1, BODY + 1, 1, 1), DotProduct(), head)
    return PrototypeModel(_Colours(), {"main": branch}, ownership).eval()


def knows_parts(*parts):
    """Adds one for each of these parts that is as the class has it; without any it answers `LAST`."""
    weights = torch.zeros(len(VARIANTS), BODY + 1)
    for label, row in enumerate(VARIANTS):
        for part in parts:
            weights[label, KINDS.index((part, row[part]))] = 1
    weights[LAST, BODY] = 0.5
    return model_of(weights)


def knows_background():
    """Only looks at the object that goes with the class."""
    weights = torch.zeros(len(VARIANTS), BODY + 1)
    for label in range(LAST):
        weights[label, len(KINDS) + label % 2] = 1
    weights[LAST, BODY] = 0.5
    return model_of(weights)


def seen(model, images=3, source=None, **settings):
    """What is observed of a model on so many images of each class that has some."""
    source, labels = source or ToyBirds(), [label for label in range(LAST) for _ in range(images)]
    records = [ImageRecord(f"{number}.png", Path(), label, "test") for number, label in enumerate(labels)]
    pictures = torch.from_numpy(np.stack([source.image(record, Removal()) for record in records]))
    names = tuple(f"class {label}" for label in range(len(VARIANTS)))
    described = describe_model(model, names, SIZE, 5)
    geometries = [Geometry(Box(0, 0, SIZE, SIZE), SIZE)] * len(labels)
    pictures = pictures.permute(0, 3, 1, 2) / 255
    chunk = Chunk(
        model, described, pictures, torch.tensor(labels), records, geometries, None, None, interventions=source
    )
    chosen = MeasureSettings(resamples=200, **settings)
    with torch.no_grad():
        columns = {one.name: one(chunk) for one in plan_passes({"scores", "without", "parts"}, chosen)}
    ids = tuple(record.id for record in records)
    return Observations(described, ids, torch.tensor(labels), columns, chosen, "toy", class_parts=source.class_parts)
