"""Named augmentations: the published ones, drawn afresh for each image and epoch, and two mild ones.

The published sets of ProtoPNet and ST-ProtoPNet (cropped) were written to disk once, ten pictures for each
operation and image; here one of the operations is drawn uniformly each time, which has the same distribution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from protoexplain.data import warps
from protoexplain.data.warps import Frame, shrunk
from protoexplain.errors import UserError, nearest_name

Draw = Callable[[Frame, int, np.random.Generator], list[np.ndarray]]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """A random change of a training picture, in a fixed part that can be kept and a random part.

    It is sent to worker processes, so its functions are functions of a module (or `partial` ones), never closures.

    Args:
        name: Its name in a run's settings.
        views: Number V of pictures made from one.
        draw: (prepared picture, side S, generator) -> V pictures uint8 [S, S, 3].
        prepare: (RGB uint8 [H, W, 3], side S) -> what `draw` needs of the source.
    """

    name: str
    views: int
    draw: Draw
    prepare: Callable[[np.ndarray, int], Frame] = shrunk

    def __call__(self, image: Tensor, size: int, rng: np.random.Generator) -> Tensor:
        """uint8 [3, H, W] -> uint8 [V, 3, S, S]; all randomness comes from `rng`."""
        rgb = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        return self.apply(self.prepare(rgb, size), size, rng)

    def apply(self, frame: Frame, size: int, rng: np.random.Generator) -> Tensor:
        """Prepared picture -> uint8 [V, 3, S, S]."""
        return torch.from_numpy(np.stack(self.draw(frame, size, rng))).permute(0, 3, 1, 2).contiguous()


def find_augmentation(name: str) -> Augmentation:
    """Look an augmentation up.

    Raises:
        UserError: Unknown name.
    """
    if name not in AUGMENTATIONS:
        raise UserError(f"unknown augmentation '{name}'", "augmentation", nearest_name(name, AUGMENTATIONS))
    return AUGMENTATIONS[name]


def resized(rgb: np.ndarray, size: int) -> Frame:
    """The test-time picture: PIL's antialiased bilinear, aspect ratio not kept, as torchvision resizes."""
    picture = Image.fromarray(rgb).resize((size, size), Image.Resampling.BILINEAR)
    return Frame(np.asarray(picture), rgb.shape[1], rgb.shape[0])


def _none(frame: Frame, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [frame.rgb]


def _flip(frame: Frame, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [_mirrored(frame.rgb, rng)]


def _augmentor(frame: Frame, size: int, rng: np.random.Generator, *, distort: bool) -> list[np.ndarray]:
    """One of rotation, skew, shear and perhaps distortion, then a flip."""
    operations = (warps.rotation, warps.skew, warps.shear)
    choice = rng.integers(len(operations) + distort)
    if choice == len(operations):
        picture = warps.sample(frame, np.eye(3), size, knots=warps.distortion(rng))
    else:
        picture = warps.sample(frame, operations[choice](frame.width, frame.height, rng), size)
    return [_mirrored(picture, rng)]


def _st_full(frame: Frame, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """RandomAffine(25, shear=15) with black corners, then a flip."""
    warp = warps.affine(frame.width, frame.height, rng, degrees=25, shear=15)
    return [_mirrored(warps.sample(frame, warp, size, cv2.BORDER_CONSTANT), rng)]


def _affine(frame: Frame, size: int, rng: np.random.Generator) -> np.ndarray:
    """Small turns, slants, zooms and shifts."""
    warp = warps.affine(frame.width, frame.height, rng, degrees=8, shear=4, scale=0.08, shift=0.04)
    return warps.sample(frame, warp, size, cv2.BORDER_REFLECT_101)


def _noisy(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normal noise in three of four pictures, each of its own strength of up to 30 of 255 levels.

    Never of one strength for a whole batch, which would ruin the statistics of batch norm.
    """
    level = rng.uniform(0, 30) * (rng.random() < 0.75)
    noise = level * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(picture + noise + 0.5, 0, 255).astype(np.uint8)


def _light(frame: Frame, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Small turns, slants, zooms and shifts and a flip; colours stay as they are."""
    return [_mirrored(_affine(frame, size, rng), rng)]


def _affine_noise(frame: Frame, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """`light` without the flip, which makes the left side of an object the right one, then noise."""
    return [_noisy(_affine(frame, size, rng), rng)]


def _light_two_views(frame: Frame, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """`light` once, then brightness and contrast by up to a fifth for each view; hue and saturation stay."""
    (picture,) = _light(frame, size, rng)
    mean = cv2.mean(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))[0]
    views = []
    for _ in range(2):
        brightness, contrast = 1 + rng.uniform(-0.2, 0.2, 2)
        levels = ((np.arange(256) - mean) * contrast + mean) * brightness
        views.append(cv2.LUT(picture, np.clip(levels + 0.5, 0, 255).astype(np.uint8)))
    return views


def _elastic(frame: Frame, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """PrototypeDL on digits: sigma 4 and alpha 20 at 28 px; on other sizes the same deformation."""
    scale = size / 28
    shifts = warps.elastic(rng.uniform(-1, 1, (2, size, size)), 4 * scale, 20 * scale**2)
    return [np.rint(warps.shifted(frame.rgb.astype(np.float32), shifts)).astype(np.uint8)]


def _cbc(frame: Frame, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """CBC and PIP-Net on birds: shared geometry, then a colour operation and a small shift for each view.

    At 224 px: resize to 232, shape, flip, resized crop to 228, and per view colour and a crop to 224.
    """
    large, medium = round(size * 232 / 224), round(size * 228 / 224)
    flip = warps.flipping(large) if rng.random() < 0.5 else np.eye(3)
    warp = _trivial_shape(large, rng) @ flip @ _resized_crop(large, rng)
    stretch = warps.scaling(frame.width / large, frame.height / large)
    picture = warps.sample(frame, stretch @ warp @ np.linalg.inv(stretch), medium, cv2.BORDER_CONSTANT)
    shared = torch.from_numpy(picture).permute(2, 0, 1)
    views = []
    for _ in range(2):
        top, left = rng.integers(0, medium - size + 1, 2)
        view = _trivial_colour(shared, rng)[:, top : top + size, left : left + size]
        views.append(view.permute(1, 2, 0).numpy())
    return views


def _trivial_shape(side: int, rng: np.random.Generator) -> np.ndarray:
    """TrivialAugment restricted to shape: one operation, its strength uniform up to 0.5, 16 px or 60 deg."""
    operation = rng.integers(6)
    amount = rng.integers(31) / 30 * (1 if rng.random() < 0.5 else -1)
    if operation == 0:
        return np.eye(3)
    if operation <= 2:
        slope = 0.5 * amount
        return warps.linear(1, slope * (operation == 1), slope * (operation == 2), 1, (0, 0))
    if operation <= 4:
        step = float(int(16 * amount))
        return warps.shifting(step * (operation == 3), step * (operation == 4))
    return warps.turning(60 * amount, (side / 2, side / 2))


def _resized_crop(side: int, rng: np.random.Generator, least: float = 0.95) -> np.ndarray:
    """RandomResizedCrop of 95 to 100 % of the area with an aspect ratio between 3/4 and 4/3 that fits."""
    for _ in range(10):
        area, ratio = rng.uniform(least, 1), math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if width <= 1 and height <= 1:
            left, top = rng.uniform(0, 1 - width) * side, rng.uniform(0, 1 - height) * side
            return warps.shifting(left, top) @ warps.scaling(width, height)
    return np.eye(3)


def _trivial_colour(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """TrivialAugment restricted to colour, one operation with uniform strength; uint8 [3, H, W] -> same."""
    from torchvision.transforms.v2 import functional as F

    step = int(rng.integers(31))
    amount = step / 30 * (1 if rng.random() < 0.5 else -1)
    operations: tuple[Callable[[], Tensor], ...] = (
        lambda: picture,
        lambda: F.adjust_brightness(picture, 1 + 0.5 * amount),
        lambda: F.adjust_saturation(picture, 1 + 0.02 * amount),
        lambda: F.adjust_contrast(picture, 1 + 0.5 * amount),
        lambda: F.adjust_sharpness(picture, 1 + 0.5 * amount),
        lambda: F.posterize(picture, 8 - round(step / 5)),
        lambda: F.autocontrast(picture),
        lambda: F.equalize(picture),
    )
    changed: Tensor = operations[rng.integers(len(operations))]()
    return changed


def _mirrored(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return picture[:, ::-1] if rng.random() < 0.5 else picture


AUGMENTATIONS = {
    entry.name: entry
    for entry in (
        Augmentation("none", 1, _none, resized),
        Augmentation("flip", 1, _flip, resized),
        Augmentation("protopnet", 1, partial(_augmentor, distort=False)),
        Augmentation("st_cropped", 1, partial(_augmentor, distort=True)),
        Augmentation("st_full", 1, _st_full),
        Augmentation("cbc", 2, _cbc),
        Augmentation("elastic", 1, _elastic, resized),
        Augmentation("light", 1, _light),
        Augmentation("affine_noise", 1, _affine_noise),
        Augmentation("light_two_views", 2, _light_two_views),
    )
}
