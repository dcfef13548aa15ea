"""One picture of all components and of what each concept makes of them: positive, negative and indefinite reasoning."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from protoexplain.explanations.overlays import AGAINST_COLOUR, FOR_COLOUR, RGB
from protoexplain.models.reasoning import Reasoning
from protoexplain.view.page import font

MOST = 60
"""Components: of more, those that matter most to any concept."""
_TILE, _BARS, _GAP, _LINE, _COLUMNS = 132, 84, 14, 16, 5
_INK, _PAPER, _IGNORED = "#202020", "#ffffff", "#d9d9d9"
_NAMED, _LEAST = 2, 0.005
"""Classes that are named on either side, if there is room, and reasoning that is worth a name."""


def reasoning_sheet(reasoning: Reasoning, pictures: Sequence[RGB | None], class_names: Sequence[str]) -> bytes:
    """Draw each component over a bar for each concept, in the order of the classes.

    Bars go up for positive and down for negative reasoning, to one scale for all components; how far a concept ignores
    the component is grey behind them, from the bottom to the top.

    Args:
        reasoning: Of the model.
        pictures: Of the components, as they are shown.
        class_names: By label.

    Returns:
        PNG.
    """
    both = reasoning.positive + reasoning.negative
    shown = both.amax(1).argsort(descending=True, stable=True)[:MOST].sort().values.tolist()
    concepts = both.shape[1]
    wide = max(_TILE, 3 * concepts)
    columns = min(_COLUMNS, len(shown)) if wide == _TILE else 1
    high = _LINE + _TILE + _BARS + 2 * _LINE + _GAP
    top = _GAP + 2 * _LINE
    size = (columns * (wide + _GAP) + _GAP, top + math.ceil(len(shown) / columns) * high)
    sheet = Image.new("RGB", (max(size[0], 3 * (_TILE + _GAP)), size[1]), _PAPER)
    draw = ImageDraw.Draw(sheet)
    scale = float(torch.maximum(reasoning.positive, reasoning.negative).max())
    head = [f"positive reasoning up, negative down, to {scale:.2f}", f"a bar for each concept of {len(class_names)}"]
    head[1] += " classes" if reasoning.indefinite is None else " classes; ignored: grey"
    for line, text in enumerate(head):
        draw.text((_GAP, _GAP // 2 + line * _LINE), text, _INK, font(12))
    for place, component in enumerate(shown):
        x, y = _GAP + place % columns * (wide + _GAP), top + place // columns * high
        draw.text((x, y), f"component {component}", _INK, font(12))
        picture = pictures[component]
        if picture is not None:
            tile = Image.fromarray(np.ascontiguousarray(picture)).resize((_TILE, _TILE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (x, y + _LINE))
        _bars(draw, x, y + _LINE + _TILE, wide / concepts, reasoning, component, scale)
        below = y + _LINE + _TILE + _BARS
        sides = (("for", reasoning.positive, FOR_COLOUR), ("against", reasoning.negative, AGAINST_COLOUR))
        for line, (side, values, colour) in enumerate(sides):
            named = _strongest(values[component], reasoning.concept_class, class_names)
            texts = [f"{side} {', '.join(named[:count])}" for count in range(len(named), 0, -1)]
            told = next((text for text in texts if font(11).getlength(text) <= wide), "".join(texts[-1:]))
            draw.text((x, below + line * _LINE), told, colour, font(11))
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def _bars(
    draw: ImageDraw.ImageDraw, x: int, y: int, step: float, reasoning: Reasoning, component: int, scale: float
) -> None:
    """Of one component, in a field that is `_BARS` high; bars of concepts touch, as classes have several."""
    middle, half = y + _BARS // 2, _BARS // 2 - 6
    for concept in range(reasoning.positive.shape[1]):
        left, right = x + concept * step, x + (concept + 1) * step - 1
        if reasoning.indefinite is not None:
            ignored = float(reasoning.indefinite[component, concept]) * 2 * half
            draw.rectangle((left, middle + half - ignored, right, middle + half), _IGNORED)
        for values, way, colour in ((reasoning.positive, -1, FOR_COLOUR), (reasoning.negative, 1, AGAINST_COLOUR)):
            length = round(float(values[component, concept]) / scale * half)
            if length:
                ends = sorted((middle, middle + way * length))
                draw.rectangle((left, ends[0], right, ends[1]), colour)
    draw.line((x, middle, x + step * reasoning.positive.shape[1], middle), _INK)


def _strongest(values: torch.Tensor, concept_class: torch.Tensor, class_names: Sequence[str]) -> list[str]:
    """The classes to whose concepts a component matters most, and how much."""
    best: dict[int, float] = {}
    for concept in values.argsort(descending=True, stable=True).tolist():
        best.setdefault(int(concept_class[concept]), float(values[concept]))
    named = [(label, value) for label, value in best.items() if value >= _LEAST][:_NAMED]
    return [f"{class_names[label][:10]} {value:.2f}" for label, value in named]
