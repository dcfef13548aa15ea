"""Everything around the bird: blurred backdrops, something to stand on, leaves and grass in front.

Nothing here knows the class of the bird.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from protoexplain.planted.canvas import Bytes, bytes_of
from protoexplain.planted.colour import gradient
from protoexplain.planted.patterns import Plane, noise

Stops = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """A kind of backdrop.

    Args:
        stops: Palette from dark to light, each (lightness, chroma, hue in degrees).
        layers: Texture tiles with (name, weight, stretch in x, stretch in y).
        fall: How much lighter the top is than the bottom.
        perches: What a bird may stand on here.
        ground: Palette of the ground and stones.
    """

    stops: Stops
    layers: tuple[tuple[str, float, float, float], ...]
    fall: float
    perches: tuple[str, ...]
    ground: Stops


WOOD: Final = ((0.16, 0.02, 60), (0.38, 0.04, 65), (0.60, 0.04, 75), (0.80, 0.03, 85))
LEAVES: Final = ((0.24, 0.07, 138), (0.49, 0.12, 126), (0.81, 0.13, 114))
_SOIL: Final = ((0.20, 0.03, 60), (0.42, 0.06, 70), (0.66, 0.06, 85))
_GRASS: Final = ((0.22, 0.06, 135), (0.45, 0.11, 128), (0.75, 0.13, 118))
_STONE: Final = ((0.22, 0.01, 250), (0.48, 0.015, 80), (0.80, 0.02, 90))
_SNOW: Final = ((0.62, 0.03, 250), (0.82, 0.02, 245), (0.97, 0.01, 230))
_SAND: Final = ((0.45, 0.05, 70), (0.68, 0.06, 78), (0.88, 0.05, 85))

SCENES: Final = (
    Scene(  # green leaves
        stops=((0.18, 0.05, 145), (0.40, 0.10, 135), (0.62, 0.13, 125), (0.88, 0.10, 112)),
        layers=(("leaves", 0.30, 1, 1), ("clouds", 0.16, 1, 1), ("bokeh", 0.22, 1, 1)),
        fall=0.25,
        perches=("branch", "branch", "post"),
        ground=_GRASS,
    ),
    Scene(  # sky
        stops=((0.55, 0.11, 250), (0.72, 0.09, 240), (0.86, 0.04, 230), (0.97, 0.01, 200)),
        layers=(("clouds", 0.30, 2, 1), ("clouds", 0.08, 1, 1)),
        fall=-0.40,
        perches=("branch", "post", "rock"),
        ground=_STONE,
    ),
    Scene(  # autumn
        stops=((0.20, 0.05, 40), (0.44, 0.10, 48), (0.65, 0.13, 68), (0.88, 0.11, 90)),
        layers=(("leaves", 0.32, 1, 1), ("clouds", 0.15, 1, 1), ("bokeh", 0.22, 1, 1)),
        fall=0.20,
        perches=("branch", "ground", "post"),
        ground=_SOIL,
    ),
    Scene(  # water
        stops=((0.30, 0.06, 230), (0.50, 0.07, 220), (0.68, 0.05, 210), (0.90, 0.03, 190)),
        layers=(("ripples", 0.26, 1, 1), ("clouds", 0.10, 3, 1)),
        fall=0.30,
        perches=("rock", "post", "rock"),
        ground=_STONE,
    ),
    Scene(  # meadow
        stops=((0.30, 0.08, 132), (0.52, 0.12, 122), (0.74, 0.12, 112), (0.92, 0.05, 100)),
        layers=(("blades", 0.22, 1, 1), ("clouds", 0.14, 2, 1)),
        fall=0.55,
        perches=("ground", "post", "ground"),
        ground=_GRASS,
    ),
    Scene(  # forest
        stops=((0.14, 0.02, 80), (0.32, 0.04, 95), (0.52, 0.07, 115), (0.82, 0.08, 108)),
        layers=(("trunks", 0.36, 1, 1), ("leaves", 0.10, 1, 1), ("bokeh", 0.18, 1, 1)),
        fall=0.15,
        perches=("branch", "branch", "ground"),
        ground=_SOIL,
    ),
    Scene(  # dusk
        stops=((0.30, 0.08, 300), (0.52, 0.11, 340), (0.72, 0.12, 40), (0.92, 0.09, 85)),
        layers=(("clouds", 0.14, 4, 1), ("clouds", 0.05, 1, 1)),
        fall=-0.65,
        perches=("branch", "rock", "post"),
        ground=_STONE,
    ),
    Scene(  # snow
        stops=((0.55, 0.03, 255), (0.72, 0.025, 245), (0.86, 0.015, 230), (0.98, 0.005, 200)),
        layers=(("trunks", 0.12, 1, 1), ("clouds", 0.16, 1, 1), ("bokeh", 0.20, 0.5, 0.5)),
        fall=0.15,
        perches=("branch", "ground", "rock"),
        ground=_SNOW,
    ),
    Scene(  # dry land
        stops=((0.35, 0.04, 60), (0.56, 0.05, 70), (0.72, 0.05, 80), (0.90, 0.04, 90)),
        layers=(("clouds", 0.20, 2, 1), ("blades", 0.10, 1, 1)),
        fall=0.35,
        perches=("rock", "ground", "branch"),
        ground=_SAND,
    ),
)


@lru_cache(maxsize=64)
def _tile(name: str, side: int) -> Plane:
    """A texture with mean 0 and standard deviation 1, `side` pixels square; a quarter of it fills a view."""
    shape, view = (side, side), side / 2
    if name == "clouds":
        return noise(shape, 0.5 * view, 5, 31)
    if name == "ripples":
        return noise(shape, (0.05 * view, 0.45 * view), 3, 32) + 0.6 * noise(shape, (0.5 * view, view), 2, 33)
    if name == "trunks":
        stems = np.tanh(2.2 * noise(shape, (3.0 * view, 0.16 * view), 2, 34))
        return stems + np.float32(0.22) * noise(shape, (0.3 * view, 0.05 * view), 3, 35)
    painting = {"leaves": _leaves, "blades": _blades, "bokeh": _lights}[name](side, view)
    return ((painting - painting.mean()) / max(float(painting.std()), 1e-6)).astype(np.float32)


def _leaves(side: int, view: float) -> Plane:
    """Many overlapping leaves of all directions, out of focus."""
    rng = np.random.default_rng(36)
    picture = np.full((side, side), 110, np.uint8)
    for size in np.geomspace(0.22, 0.045, 420) * view:
        centre, axes = (
            rng.uniform(0, side, 2).astype(int).tolist(),
            [max(int(size), 1), max(int(size / 2), 1)],
        )
        turn, tone = rng.uniform(0, 180), int(rng.uniform(10, 245))
        cv2.ellipse(picture, centre, axes, turn, 0, 360, tone, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.022 * view).astype(np.float32)


def _blades(side: int, view: float) -> Plane:
    """Tall grass, out of focus."""
    rng = np.random.default_rng(37)
    picture = np.full((side, side), 110, np.uint8)
    for _ in range(900):
        x, y = rng.uniform(0, side, 2)
        tip = (int(x + rng.normal(0, 0.05) * view), int(y - rng.uniform(0.15, 0.45) * view))
        width = max(int(rng.uniform(0.006, 0.022) * view), 1)
        cv2.line(picture, (int(x), int(y)), tip, int(rng.uniform(0, 255)), width, cv2.LINE_AA)
    return cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.012 * view).astype(np.float32)


def _lights(side: int, view: float) -> Plane:
    """Round spots of light far behind."""
    rng = np.random.default_rng(38)
    picture = np.zeros((side, side), np.float32)
    for _ in range(110):
        spot = np.zeros((side, side), np.uint8)
        centre, radius = (
            rng.uniform(0, side, 2).astype(int).tolist(),
            max(int(rng.uniform(0.02, 0.075) * view), 1),
        )
        cv2.circle(spot, centre, radius, 255, -1, cv2.LINE_AA)
        picture += spot * np.float32(rng.uniform(0.2, 1.0))
    return cv2.GaussianBlur(picture, (0, 0), 0.008 * view).astype(np.float32)


def palette(stops: Stops, rng: np.random.Generator, hue: float, light: float) -> Bytes:
    """The 256 shades of a palette with its hue (degrees), chroma and lightness a little shifted."""
    table = np.array(stops)
    table[:, 0] = np.clip(table[:, 0] + rng.uniform(-light, light), 0.05, 0.98)
    table[:, 1] *= rng.uniform(0.5, 1.15)
    table[:, 2] += rng.uniform(-hue, hue)
    return gradient(table)[:, None, :]


def backdrop(scene: Scene, rng: np.random.Generator, side: int) -> Bytes:
    """An out-of-focus view of a scene, (side, side, 3)."""
    small = max(side // 2, 16)
    height = np.linspace(0.5, -0.5, small, dtype=np.float32)[:, None]
    tone = np.full((small, small), rng.uniform(0.40, 0.58), np.float32) + np.float32(scene.fall) * height
    for name, weight, wide, tall in scene.layers:
        tile = _tile(name, 2 * small)
        zoom, flip = rng.uniform(0.8, 1.5), rng.choice([-1.0, 1.0])
        offset = rng.uniform(0, 2 * small, 2)
        matrix = np.array([[zoom * wide * flip, 0, -offset[0]], [0, zoom * tall, -offset[1]]])
        flags = cv2.INTER_LINEAR
        layer = cv2.warpAffine(tile, matrix, (small, small), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        tone += np.float32(0.62 * weight * rng.uniform(0.6, 1.2)) * layer
    table = palette(scene.stops, rng, 16, 0.07)
    view = cv2.applyColorMap(np.clip(tone * 255, 0, 255).astype(np.uint8), table)
    return bytes_of(cv2.resize(view, (side, side), interpolation=cv2.INTER_CUBIC))
