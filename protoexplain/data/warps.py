"""Random geometric changes as maps from new pixels back to old ones, and one sampler for all of them.

A warp is a 3x3 matrix from output to source (x, y, 1) in a frame of the source's width and height; maps are
multiplied, so each picture is interpolated once.  Amounts follow the Augmentor library, which made the
published training sets: rotation and shear crop the empty corners away and stretch the rest back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

cv2.setNumThreads(0)  # pictures are small, and OpenCV's thread pool does not survive a fork

_HEADROOM = 1.25
"""Pictures are first shrunk to this multiple of the wanted side, since sampling alone would alias."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A source picture, perhaps stored smaller than it is.

    Args:
        rgb: uint8 [h, w, 3].
        width: Width of the source in pixels, the unit of warps.
        height: Height of the source in pixels.
    """

    rgb: np.ndarray
    width: int
    height: int


def shrunk(rgb: np.ndarray, size: int) -> Frame:
    """Area-average uint8 [H, W, 3] down to what a warped picture of side `size` can show; never enlarge."""
    height, width = rgb.shape[:2]
    most = round(size * _HEADROOM)
    small = (min(width, most), min(height, most))
    return Frame(cv2.resize(rgb, small, interpolation=cv2.INTER_AREA), width, height)


def scaling(x: float, y: float) -> np.ndarray:
    return np.diag([x, y, 1.0])


def shifting(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def flipping(width: float) -> np.ndarray:
    """Mirror left and right."""
    return np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def linear(a: float, b: float, c: float, d: float, centre: tuple[float, float]) -> np.ndarray:
    """[[a, b], [c, d]] about a fixed point."""
    x, y = centre
    return shifting(x, y) @ np.array([[a, b, 0.0], [c, d, 0.0], [0.0, 0.0, 1.0]]) @ shifting(-x, -y)


def turning(degrees: float, centre: tuple[float, float]) -> np.ndarray:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return linear(cosine, -sine, sine, cosine, centre)


def rotation(width: int, height: int, rng: np.random.Generator, most: int = 15) -> np.ndarray:
    """Turn up to `most` whole degrees either way; take Augmentor's inner rectangle (no empty corners)."""
    degrees = int(rng.integers(0, most + 1)) * (1 if rng.random() < 0.5 else -1)
    angle = math.radians(abs(degrees))
    wide = width * math.cos(angle) + height * math.sin(angle)
    high = height * math.cos(angle) + width * math.sin(angle)
    left = math.tan(angle) * (high - wide * math.tan(angle))
    top = math.tan(angle) * (wide - left)
    zoom = scaling((wide - 2 * left) / width, (high - 2 * top) / height)
    to_source = shifting((width - wide) / 2, (height - high) / 2) @ shifting(left, top) @ zoom
    return turning(degrees, (width / 2, height / 2)) @ to_source


def shear(width: int, height: int, rng: np.random.Generator, most: int = 10) -> np.ndarray:
    """Shear by up to `most` whole degrees along x or y, cut the empty triangles off and stretch back."""
    slope = math.tan(math.radians(int(rng.integers(-most, most + 1))))
    if rng.random() < 0.5:
        lost = abs(slope) * height
        start = shifting(lost - max(slope, 0) * height, 0)
        return start @ linear(1, slope, 0, 1, (0, 0)) @ scaling((width - lost) / width, 1)
    lost = abs(slope) * width
    start = shifting(0, lost - max(slope, 0) * width)
    return start @ linear(1, 0, slope, 1, (0, 0)) @ scaling(1, (height - lost) / height)


def skew(width: int, height: int, rng: np.random.Generator, magnitude: float = 0.2) -> np.ndarray:
    """Tilt (three times in four) or pull one corner outwards, by up to `magnitude` of the longer side."""
    amount = float(rng.integers(1, math.ceil(max(width, height) * magnitude) + 1))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    outwards = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float32)
    moved = corners.copy()
    if rng.random() < 0.75:
        pair, axis = [((0, 3), 1), ((1, 2), 1), ((0, 1), 0), ((2, 3), 0)][rng.integers(4)]
        moved[list(pair), axis] += amount * outwards[list(pair), axis]
    else:
        corner, axis = int(rng.integers(4)), int(rng.integers(2))
        moved[corner, axis] += amount * outwards[corner, axis]
    return cv2.getPerspectiveTransform(moved, corners)


def distortion(rng: np.random.Generator, cells: int = 10, magnitude: int = 5) -> np.ndarray:
    """Shifts of a grid's inner knots by up to `magnitude` source pixels: [cells + 1, cells + 1, 2]."""
    knots = np.zeros((cells + 1, cells + 1, 2))
    knots[1:-1, 1:-1] = rng.integers(-magnitude, magnitude + 1, (cells - 1, cells - 1, 2))
    return knots


def elastic(fields: np.ndarray, sigma: float, alpha: float) -> np.ndarray:
    """Shifts [2, H, W] of all pixels in rows and columns: uniform noise in [-1, 1], smoothed, times `alpha`.

    Simard et al. 2003, as PrototypeDL (Li et al. 2018) uses it; zeros surround the noise.
    """
    from scipy.ndimage import gaussian_filter

    return alpha * gaussian_filter(fields, (0, sigma, sigma), mode="constant")


def shifted(picture: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Linear interpolation of [H, W, C] at each pixel plus its shift [2, H, W]; zero outside the picture."""
    from scipy.ndimage import map_coordinates

    height, width = picture.shape[:2]
    places = np.mgrid[0:height, 0:width] + shifts
    channels = [map_coordinates(channel, places, order=1) for channel in np.moveaxis(picture, 2, 0)]
    return np.stack(channels, axis=2)


def affine(
    width: int,
    height: int,
    rng: np.random.Generator,
    degrees: float,
    shear: float,
    scale: float = 0,
    shift: float = 0,
) -> np.ndarray:
    """Rotation and x-shear in degrees, zoom 1 +- `scale`, shift by a part of the sides; about the centre.

    With `scale` and `shift` 0 this is torchvision's ``RandomAffine(degrees, shear=shear)``.
    """
    angle, slant, zoom, right, down = rng.uniform(-1, 1, 5) * (degrees, shear, scale, shift, shift)
    centre = (width / 2, height / 2)
    forward = turning(angle, centre) @ linear(1, -math.tan(math.radians(slant)), 0, 1, centre)
    forward = forward @ linear(1 + zoom, 0, 0, 1 + zoom, centre)
    return np.linalg.inv(shifting(right * width, down * height) @ forward)


def sample(
    frame: Frame,
    warp: np.ndarray,
    size: int,
    border: int = cv2.BORDER_REPLICATE,
    knots: np.ndarray | None = None,
) -> np.ndarray:
    """Draw the warped picture.

    Args:
        frame: The source, from `shrunk`.
        warp: Output -> source, both in a frame of source width x height.
        size: Side S of the output; the frame is stretched to it.
        border: OpenCV border mode for what lies outside the source.
        knots: Shifts of a regular grid over the output frame, in source pixels, as from `distortion`.

    Returns:
        uint8 [S, S, 3].
    """
    stored = scaling(frame.rgb.shape[1] / frame.width, frame.rgb.shape[0] / frame.height)
    to_source = warp @ scaling(frame.width / size, frame.height / size)
    matrix = shifting(-0.5, -0.5) @ stored @ to_source @ shifting(0.5, 0.5)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if knots is None:
        if np.allclose(matrix[2], (0, 0, 1), atol=1e-12):
            return cv2.warpAffine(frame.rgb, matrix[:2], (size, size), flags=flags, borderMode=border)
        return cv2.warpPerspective(frame.rgb, matrix, (size, size), flags=flags, borderMode=border)
    rows, columns = np.mgrid[0:size, 0:size]
    where = matrix @ np.stack([columns.ravel(), rows.ravel(), np.ones(size * size)])
    x, y = (where[:2] / where[2]).reshape(2, size, size)
    blend = _blend(len(knots), size)
    x += blend @ knots[..., 0] @ blend.T * stored[0, 0]
    y += blend @ knots[..., 1] @ blend.T * stored[1, 1]
    return cv2.remap(frame.rgb, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=border)


def _blend(knots: int, size: int) -> np.ndarray:
    """Weights [size, knots] of linear interpolation between knots spread over 0..size, at pixel centres."""
    position = (np.arange(size) + 0.5) * (knots - 1) / size
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(knots)))
