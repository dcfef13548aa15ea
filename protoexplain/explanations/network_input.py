"""An image that was read and cut, so that a model can run on it alone or in a batch with others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.data.augmentation import resized
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.loading import cut
from protoexplain.io.images import load_image

RGB = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """One image, and what the network takes of it.

    Args:
        name: Shown for it.
        rgb: The image, upright, uint8 [H,W,3].
        notices: What was done to the image when it was read, one sentence each.
        geometry: Which region of it the picture shows.
        picture: float32 [3,S,S] in [0, 1].
    """

    name: str
    rgb: RGB
    notices: tuple[str, ...]
    geometry: Geometry
    picture: Tensor


def read_input(image: Path | BinaryIO, size: int, *, name: str = "", box: Box | None = None) -> NetworkInput:
    """Read an image and cut it as the network takes it.

    Args:
        image: A file, or an open one.
        size: Side S of the network's input.
        name: Shown for it; the file's name by default.
        box: The region that becomes the input, in pixels of the file; the whole image by default.

    Raises:
        UserError: The file is no image that can be read.
    """
    loaded = load_image(image)
    if box is not None:
        across, down = loaded.scale
        box = Box(box.x0 * across, box.y0 * down, box.x1 * across, box.y1 * down)
    height, width = loaded.rgb.shape[:2]
    geometry = Geometry.of((width, height), box, size)
    name = name or (image.name if isinstance(image, Path) else "image")
    return NetworkInput(name, loaded.rgb, loaded.notices, geometry, input_picture(loaded.rgb, geometry))


def input_picture(rgb: RGB, geometry: Geometry) -> Tensor:
    """The region of an image that the network sees, resized: uint8 [H,W,3] -> float32 [3,S,S] in [0, 1]."""
    return as_picture(resized(cut(rgb, geometry), geometry.input_size).rgb)


def as_picture(rgb: RGB) -> Tensor:
    """uint8 [H,W,3] -> float32 [3,H,W] in [0, 1]."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).float() / 255
