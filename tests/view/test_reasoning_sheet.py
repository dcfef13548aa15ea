"""The picture of components and their reasoning."""

import io

import numpy as np
import torch
from PIL import Image

from protoexplain.explanations.overlays import AGAINST_COLOUR, FOR_COLOUR
from protoexplain.models.reasoning import Reasoning
from protoexplain.view.reasoning_sheet import MOST, reasoning_sheet

CLASSES = ("Wren", "Robin")
PLAIN = np.full((8, 8, 3), (0, 255, 0), np.uint8)


def sheet_of(positive, negative, indefinite=None, pictures=None):
    sides = torch.tensor(positive), torch.tensor(negative)
    reasoning = Reasoning(*sides, None if indefinite is None else torch.tensor(indefinite), torch.tensor([0, 0, 1, 1]))
    drawn = reasoning_sheet(reasoning, pictures or [PLAIN] * len(positive), CLASSES)
    return np.asarray(Image.open(io.BytesIO(drawn)))


def share(sheet, colour):
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return (sheet == wanted).all(2).mean()


def test_bars_show_each_side_and_what_is_ignored():
    for_it = sheet_of([[0.9, 0.0, 0.0, 0.0]], [[0.0] * 4])
    against = sheet_of([[0.0] * 4], [[0.0, 0.0, 0.9, 0.5]])
    assert share(for_it, FOR_COLOUR) > 0 == share(for_it, AGAINST_COLOUR)
    assert share(against, AGAINST_COLOUR) > 0 == share(against, FOR_COLOUR)
    assert share(for_it, "#00ff00") > 0.1, "the component itself"
    ignored = sheet_of([[0.9, 0.0, 0.0, 0.0]], [[0.0] * 4], [[0.0, 1.0, 1.0, 0.5]])
    assert share(ignored, "#d9d9d9") > share(for_it, "#d9d9d9") + 0.005, "more than the edges of letters"


def test_of_many_components_those_that_matter_are_drawn():
    many = [[0.0] * 4] * MOST + [[0.0, 1.0, 0.0, 0.0]]
    pictures = [None] * MOST + [PLAIN]
    sheet = sheet_of(many, [[0.0] * 4] * len(many), pictures=pictures)
    assert share(sheet, "#00ff00") > 0
