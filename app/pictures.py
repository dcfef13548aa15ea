"""Pictures as the page shows them: where they come from, what they show, and what is marked in them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from app.models import mark_of
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.geometry import Box
from protoexplain.errors import UserError
from protoexplain.explain.overlays import RGB, heat_level
from protoexplain.io.images import load_image
from protoexplain.report.pictures import Region, region_of

Kind = Literal["patch", "source"]
HAZE = 1.5
"""The larger, the clearer cold places stay under a heat map."""
_HEAT = colormaps["inferno"]
"""As in the pictures of `protoexplain.explain.overlays`: safe for colour-blind eyes."""


@dataclass(frozen=True)
class Picture:
    """A picture.

    Args:
        source: Its address, or the picture itself as a data URI.
        alt: What it shows.
        width: In pixels.
        height: In pixels.
        box: Drawn over it.
    """

    source: str
    alt: str
    width: int
    height: int
    box: Region | None = None


def percent_of(box: Box, frame: Box, text: str = "") -> Region:
    """Where a box lies in a frame, both in the same pixels."""
    return region_of(box.as_list(), frame, text)


def prototype_address(checkpoint: Checkpoint, index: int, kind: Kind) -> str:
    """Where the app serves a picture of a prototype."""
    return f"prototype/{mark_of(checkpoint)}/{kind}/{index}"


def prototype_picture(checkpoint: Checkpoint, index: int, kind: Kind, alt: str = "") -> Picture | None:
    """The patch of a prototype or its training picture; None also where its folder vanished under a loaded model.

    Args:
        checkpoint: The model's.
        index: Number of the prototype.
        kind: Which of both.
        alt: What the picture shows; says by default which prototype of which class it is.
    """
    record = checkpoint.prototypes[index]
    try:
        content = checkpoint.picture(index, kind)
        if content is None:
            return None
        width, height = load_image(io.BytesIO(content)).size
    except UserError:
        return None
    address = prototype_address(checkpoint, index, kind)
    if alt:
        return Picture(address, alt, width, height)
    if kind == "patch":
        of = f" of {owner}" if (owner := checkpoint.owner_name(record.index)) else ""
        return Picture(address, f"Prototype {index}: part of a training picture{of}", width, height)
    box = percent_of(Box(*record.input_box), Box(0, 0, width, height)) if record.input_box else None
    return Picture(address, f"Training picture {record.image_id}, the part marked by a box", width, height, box)


def drawn_picture(rgb: RGB, alt: str, box: Region | None = None) -> Picture:
    """A picture that was drawn for one answer, as JPEG inside the page."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=88, subsampling=0)
    return Picture(_data_uri(buffer.getvalue(), "jpeg"), alt, rgb.shape[1], rgb.shape[0], box)


def heat_layer(heat: NDArray[np.float32], alt: str, ends: tuple[float, float] | None = None) -> Picture:
    """A heat map [H,W] to be laid over a picture, cold places see-through; `ends` are those of `heat_level`."""
    level = heat_level(heat, ends)
    layer = (_HEAT(level) * 255).round().astype(np.uint8)
    layer[..., 3] = (255 * level**HAZE).round()
    buffer = io.BytesIO()
    Image.fromarray(layer).save(buffer, "WEBP", quality=80, method=2)
    return Picture(_data_uri(buffer.getvalue(), "webp"), alt, heat.shape[1], heat.shape[0])


def fitted(rgb: RGB, side: int) -> RGB:
    """Scaled down, where needed, to at most `side` pixels on both sides."""
    if max(rgb.shape[:2]) <= side:
        return rgb
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(image)


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
