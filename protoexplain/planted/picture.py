"""Put one bird into one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np

from protoexplain.data.geometry import Box
from protoexplain.planted import props, scenery
from protoexplain.planted.anatomy import FOOT_LEVEL, Pose, region_of
from protoexplain.planted.canvas import Bytes, Roi, affine, bytes_of, spread, tint, transform
from protoexplain.planted.classes import Appearance, BirdClass, Region
from protoexplain.planted.painter import Painter
from protoexplain.planted.patterns import noise
from protoexplain.planted.plumage import NO_SHAPE, number, plumage

BARE: Final = Appearance(0.0, 0.0, 0.3, "plain", 0.0)
"""What a region of the trunk or head looks like that was taken away."""
_NOT_DRAWN: Final[frozenset[Region]] = frozenset({"tail", "wing", "beak", "legs"})
_STENCIL_SCALE: Final = 1.25  # stencil pixels per bird unit and picture pixel


@dataclass(frozen=True)
class Changes:
    """What a picture is drawn without, or otherwise.

    Args:
        without: Regions that are taken away: tail, wing, beak, legs and eye are not drawn, the others are dark grey.
        scenery: Seed of another scene behind the bird; None for the picture's own.
        perch: Whether what the bird stands on is drawn.
        foreground: Whether twigs and blades in front of the bird are drawn.
    """

    without: frozenset[Region] = frozenset()
    scenery: int | None = None
    perch: bool = True
    foreground: bool = True


class Prop(IntEnum):
    """What shows beside the bird."""

    SCENERY, PERCH, FOREGROUND = range(3)


@dataclass(frozen=True)
class Rendering:
    """One picture and what is known about it.

    Args:
        image: (size, size, 3) sRGB bytes.
        mask: (size, size) True where the bird shows.
        parts: CUB part name -> (x, y) in pixels, None where it does not show.
        box: Bounding box of the visible bird.
        regions: (size, size) number of the region that shows (see `plumage.number`), 0 outside the bird.
        props: (size, size) the `Prop` that shows, outside the bird.
    """

    image: Bytes
    mask: np.ndarray
    parts: dict[str, tuple[float, float] | None]
    box: Box
    regions: Bytes
    props: Bytes


@dataclass(frozen=True)
class _Stage:
    """What there is before the bird comes.

    Args:
        pose: Of the bird.
        view: (size, size, 3).
        props: (size, size) where the perch shows.
        state: Of the random numbers for all that follows.
    """

    pose: Pose
    view: Bytes
    props: Bytes
    state: Mapping[str, Any]


def render(bird: BirdClass, seed: int | Sequence[int], size: int, changes: Changes | None = None) -> Rendering:
    """Draw a bird of a class.

    Args:
        bird: Its class, see `classes.plan`.
        seed: Decides pose, light, surroundings and occlusion.  Equal seeds give equal ones for any class.
        size: Side of the picture in pixels.
        changes: What is left out; all else stays as it is.
    """
    changes = changes or Changes()
    stage = _stage(seed if isinstance(seed, int) else tuple(seed), size, changes.scenery, changes.perch)
    rng = np.random.default_rng()
    rng.bit_generator.state = stage.state
    for region in sorted(changes.without - _NOT_DRAWN):
        bird = bird.with_appearance(region, replace(BARE, shape=NO_SHAPE) if region == "eye" else BARE)
    plumes = plumage(bird, _STENCIL_SCALE * size)
    image, regions = Painter(stage.view, stage.pose).paint(plumes, changes.without)
    shown, pose = stage.props.copy(), stage.pose
    _in_front(image, regions, shown, rng, changes.foreground)
    mask = regions > 0
    landmarks = pose.landmarks(pose.camera(size))
    parts = {part: point if _shows(part, point, regions) else None for part, point in landmarks.items()}
    return Rendering(_with_camera_noise(image, rng), mask, parts, _bounds(mask), regions, shown)


@lru_cache(maxsize=16)
def _stage(seed: int | tuple[int, ...], size: int, other_scenery: int | None, perch: bool) -> _Stage:
    """The surroundings of a picture, which all of its changes share."""
    rng = np.random.default_rng(seed)
    pose = Pose.drawn(rng)
    scene = scenery.SCENES[rng.integers(len(scenery.SCENES))]
    view = scenery.backdrop(scene, rng, size)
    if other_scenery is not None:
        other = np.random.default_rng([other_scenery, 5])
        view = scenery.backdrop(scenery.SCENES[other.integers(len(scenery.SCENES))], other, size)
    empty, shown = view.copy(), np.zeros((size, size), np.uint8)
    _perch(view, shown, scene, pose, rng)
    return _Stage(pose, view if perch else empty, shown if perch else np.zeros_like(shown), rng.bit_generator.state)


def _perch(view: Bytes, shown: Bytes, scene: scenery.Scene, pose: Pose, rng: np.random.Generator) -> None:
    """Put something to stand on below the feet, and note where it shows."""
    kind = scene.perches[rng.integers(len(scene.perches))]
    variant = int(rng.integers(props.VARIANTS))
    thick, slant, way = rng.uniform(0.75, 1.2), rng.uniform(-0.06, 0.06), rng.choice([-1, 1])
    size = view.shape[0]
    feet = transform(pose.camera(size), [[0.05, FOOT_LEVEL]])[0]
    if kind == "branch":
        frame = affine(size * thick * way, size * thick, pose.angle + slant, *feet)
        branch = tint(view, props.perch(kind, variant, size), frame, scenery.palette(scenery.WOOD, rng, 15, 0.06))
        _note(shown, branch, Prop.PERCH)
        green = scenery.palette(scenery.LEAVES, rng, 30, 0.05)
        for _ in range(int(rng.integers(0, 5))):
            root = transform(frame, [[rng.uniform(-0.5, 0.5), 0.03]])[0]
            leaf = props.leaf(int(rng.integers(props.VARIANTS)), size)
            _note(shown, tint(view, leaf, affine(size, size, rng.uniform(-np.pi, np.pi), *root), green), Prop.PERCH)
        return
    stops = scenery.WOOD if kind == "post" else scene.ground
    frame = affine(size * way, size, 0, *feet)
    stand = tint(view, props.perch(kind, variant, size), frame, scenery.palette(stops, rng, 12, 0.05))
    _note(shown, stand, Prop.PERCH)
    spot = pose.zoom * size * (0.5 if kind == "post" else 1)
    tint(view, props.shadow(size), affine(spot, spot, 0, *feet), np.zeros((256, 1, 3), np.uint8))


def _note(shown: Bytes, placed: tuple[Roi, Bytes] | None, prop: Prop) -> None:
    """Note what a stencil that was laid somewhere with some opacity covers."""
    if placed is not None:
        roi, alpha = placed
        shown[roi][alpha > 127] = prop


def _in_front(image: Bytes, regions: Bytes, shown: Bytes, rng: np.random.Generator, drawn: bool) -> None:
    """Lay up to two twigs or blades of grass over the picture, and note where they show; or only draw the numbers."""
    size = image.shape[0]
    green = scenery.palette(scenery.LEAVES, rng, 35, 0.05)
    for _ in range(int(rng.choice(3, p=[0.35, 0.4, 0.25]))):
        x, y = rng.uniform(0.05, 0.95) * size, rng.uniform(0.2, 0.8) * size
        angle, scale = rng.normal(0, 0.35), rng.uniform(0.8, 1.1) * size
        prop = props.twig if rng.random() < 0.5 else props.blade
        stencil = prop(int(rng.integers(props.VARIANTS)), size)
        if drawn:
            placed = tint(image, stencil, affine(scale, scale, angle, x, y), green)
            _note(shown, placed, Prop.FOREGROUND)
            if placed is not None:
                regions[placed[0]][placed[1] > 127] = 0


@lru_cache(maxsize=8)
def _grain(size: int) -> Bytes:
    plane = noise((2 * size, 2 * size), 2.0, 2, 99)
    return spread(np.clip(128 + 1.8 * plane, 0, 255).astype(np.uint8), 3)


def _with_camera_noise(image: Bytes, rng: np.random.Generator) -> Bytes:
    """Exposure, gamma, warmth and grain of the camera."""
    size = image.shape[0]
    gain, gamma, warm = rng.uniform(0.86, 1.10), rng.uniform(0.86, 1.16), rng.uniform(-0.05, 0.05)
    level = np.linspace(0, 1, 256)[:, None] ** gamma * gain * np.array([1 + warm, 1, 1 - warm])
    table = np.rint(np.clip(level, 0, 1) * 255).astype(np.uint8)[:, None, :]
    x, y = rng.integers(0, size, 2)
    grain = _grain(size)[y : y + size, x : x + size]
    return bytes_of(cv2.addWeighted(cv2.LUT(image, table), 1, grain, 1, -128))


def _shows(part: str, point: tuple[float, float] | None, regions: Bytes) -> bool:
    """Whether the part's region shows within a pixel of the point."""
    if point is None or not (0 <= point[0] < regions.shape[1] and 0 <= point[1] < regions.shape[0]):
        return False
    column, row = int(point[0]), int(point[1])
    around = regions[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    return bool(np.any(around == number(region_of(part))))


def _bounds(mask: np.ndarray) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return Box(0, 0, mask.shape[1], mask.shape[0])
    return Box(float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
