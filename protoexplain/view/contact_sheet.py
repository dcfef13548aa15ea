"""One picture for each prototype: the patches nearest to it, and the images that they come from."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from protoexplain.data.geometry import Box
from protoexplain.data.loading import ImageDataset, geometry_of
from protoexplain.explanations.overlays import AGAINST_COLOUR, RGB, draw_box
from protoexplain.explanations.prototypes.prototype import Neighbour, PrototypeExplanation
from protoexplain.io.images import load_image
from protoexplain.view.page import font

_TILE, _GAP, _LINE, _QUALITY = 132, 8, 17, 85
_CHARACTER = 7
"""Pixels that a character of the heading takes, or less."""
_INK, _PAPER = "#202020", "#ffffff"
_KEPT_IMAGES = 256
Region = tuple[RGB, Box]


class ImageRegions:
    """The part of each image that the model saw, and where a patch lies in it; the last images stay in memory.

    Args:
        splits: Name -> pictures, as they were explained.
    """

    def __init__(self, splits: Mapping[str, ImageDataset]) -> None:
        self._splits = splits
        self._records = {name: {r.id: r for r in dataset.records} for name, dataset in splits.items()}
        self._region = lru_cache(_KEPT_IMAGES)(self._load)

    def __call__(self, split: str, neighbour: Neighbour) -> Region:
        """The region and the patch's box in its pixels.

        Raises:
            UserError: The image can no longer be read.
        """
        region, crop = self._region(split, neighbour.image)
        x0, y0, x1, y1 = neighbour.box
        across, down = region.shape[1] / crop.width, region.shape[0] / crop.height
        left, top = crop.x0, crop.y0
        return region, Box((x0 - left) * across, (y0 - top) * down, (x1 - left) * across, (y1 - top) * down)

    def _load(self, split: str, image: str) -> Region:
        record, dataset = self._records[split][image], self._splits[split]
        loaded = load_image(record.path)
        crop = geometry_of(record, loaded.size, dataset.crop, dataset.size).crop
        return loaded.region(crop.as_list()), crop


def contact_sheet(
    explained: PrototypeExplanation,
    class_names: tuple[str, ...],
    region: Callable[[str, Neighbour], Region],
    patch: RGB | None = None,
    source: RGB | None = None,
    caption: str = "its training patch",
) -> bytes:
    """Draw a prototype.

    Args:
        explained: What is known of it.
        class_names: By label.
        region: Split and neighbour -> region and box, such as `ImageRegions`.
        patch: Picture of its training patch.
        source: The training image of that patch, with its box.
        caption: What both are.

    Returns:
        JPEG.
    """
    strips = [
        (title, split, neighbours)
        for split in explained.splits
        for title, neighbours in _lists(explained, split)
        if neighbours
    ]
    columns = max([len(neighbours) for _, _, neighbours in strips], default=0)
    head = [_heading(explained), *filter(None, (_statistics(explained, split) for split in explained.splits))]
    width = (columns + 1) * (_TILE + _GAP) + 2 * _GAP
    head += textwrap.wrap(explained.characteristics or "", width // _CHARACTER)
    top = _GAP + _LINE * len(head) + _GAP
    strip_height = _LINE + 2 * _TILE + 3 * _LINE
    height = top + max(len(strips), 1) * strip_height
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for line, text in enumerate(head):
        draw.text((_GAP, _GAP + line * _LINE), text, _INK, font(13 if line else 14))
    _column(sheet, draw, 0, top, "the prototype", (patch, source), (caption,), _INK)
    for row, (title, split, neighbours) in enumerate(strips):
        y = top + row * strip_height
        for place, neighbour in enumerate(neighbours):
            picture, box = region(split, neighbour)
            pictures = (_inside(picture, box), draw_box(picture, box))
            foreign = explained.prototype_label not in (-1, neighbour.label)
            texts = (f"{neighbour.similarity:.2f}", class_names[neighbour.label])
            _column(
                sheet, draw, place + 1, y, "" if place else title, pictures, texts, AGAINST_COLOUR if foreign else _INK
            )
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def _lists(explained: PrototypeExplanation, split: str) -> list[tuple[str, tuple[Neighbour, ...]]]:
    """The nearest patches, and those of the own class where others are among the nearest."""
    lists = [(f"nearest in {split}", explained.splits[split].nearest)]
    if explained.splits[split].foreign:
        lists.append((f"nearest of its class in {split}", explained.splits[split].nearest_own))
    return lists


def _heading(explained: PrototypeExplanation) -> str:
    owner = "" if explained.class_name is None else f" ({explained.class_name})"
    weights = ", ".join(f"{w.name} {w.weight:+.3g}" for w in explained.weights[:3])
    return f"Prototype {explained.prototype}{owner}    largest weights: {weights}"


def _statistics(explained: PrototypeExplanation, split: str) -> str:
    known, parts = explained.splits[split], []
    if known.fires is not None:
        parts.append(f"reaches {explained.level:.2f} in {known.fires:.1%} of the images")
    if known.foreign is not None:
        others, count = round(known.foreign * len(known.nearest)), len(known.nearest)
        parts.append(f"{others} of the {count} nearest are of other classes")
    return f"{split}: {', '.join(parts)}" if parts else ""


def _column(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    column: int,
    y: int,
    title: str,
    pictures: tuple[RGB | None, RGB | None],
    texts: tuple[str, ...],
    colour: str,
) -> None:
    """A patch, the image below it, and what is said of both."""
    x = _GAP + column * (_TILE + _GAP) + (_GAP if column else 0)
    draw.text((x, y), title, _INK, font(12))
    for place, picture in enumerate(pictures):
        if picture is not None:
            tile = _fitted(picture)
            offset = (_TILE - tile.width) // 2, (_TILE - tile.height) // 2
            sheet.paste(tile, (x + offset[0], y + _LINE + place * _TILE + offset[1]))
    for line, text in enumerate(texts):
        draw.text((x, y + _LINE + 2 * _TILE + line * (_LINE - 2)), _short(text), colour, font(12))


def _inside(picture: RGB, box: Box) -> RGB:
    height, width = picture.shape[:2]
    x0, y0 = min(max(int(box.x0), 0), width - 1), min(max(int(box.y0), 0), height - 1)
    return picture[y0 : max(round(box.y1), y0 + 1), x0 : max(round(box.x1), x0 + 1)]


def _fitted(picture: RGB) -> Image.Image:
    """Scaled to a tile with its aspect ratio."""
    side = _TILE - 2
    scale = side / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS)


def _short(text: str) -> str:
    letters = font(12)
    while len(text) > 1 and letters.getlength(text) > _TILE:
        text = text[:-2] + "…"
    return text
