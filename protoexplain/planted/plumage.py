"""Paint the parts of one class: colour and pattern of each region on the shapes, drawn once and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from protoexplain.planted import colour, shapes
from protoexplain.planted.canvas import Bytes, Stencil, bytes_of, spread
from protoexplain.planted.classes import REGIONS, Appearance, BirdClass, Region
from protoexplain.planted.patterns import Plane, noise, pattern
from protoexplain.planted.shapes import EYE, HEAD_RADIUS, Sheet

_SWING = 0.25  # lightness added and taken away at full contrast
NO_SHAPE = "none"
"""Of an eye that is not drawn."""
_SHAPES: Mapping[Region, Callable[[str, float], Sheet]] = {
    "tail": shapes.tail,
    "crown": shapes.crest,
    "beak": shapes.beak,
    "wing": shapes.wing,
}


@dataclass(frozen=True)
class Plumage:
    """The painted parts of one class at one size.

    Args:
        body: Covers the whole trunk and neck, to be cut to the outline of a pose.
        head: Crown, face, throat and eye, fading out over the neck.
    """

    tail: Stencil
    crest: Stencil
    beak: Stencil
    body: Stencil
    head: Stencil
    wing: Stencil
    leg: tuple[int, int, int]


def plumage(bird: BirdClass, unit: float) -> Plumage:
    """All parts of a class, at `unit` pixels per bird unit."""
    look = bird.appearance
    legs = look("legs")
    return Plumage(
        tail=_painted("tail", look("tail"), unit),
        crest=_painted("crown", look("crown"), unit),
        beak=_painted("beak", look("beak"), unit),
        body=_body(look("belly"), look("breast"), look("back"), unit),
        head=_head(look("crown"), look("throat"), look("eye"), look("back"), unit),
        wing=_painted("wing", look("wing"), unit),
        leg=colour.rgb(legs.hue, legs.saturation, legs.lightness),
    )


def number(region: Region) -> int:
    """The number of a region in label pictures, from 1."""
    return REGIONS.index(region) + 1


@lru_cache(maxsize=128)
def _pattern(texture: str, window: tuple[float, float, float, float], unit: float) -> Bytes:
    """A texture over the window of a sheet, 0 to 255."""
    value = pattern(texture, *Sheet(unit, window).grid(), unit)
    return np.clip(np.rint(127.5 + 127.5 * value), 0, 255).astype(np.uint8)


def _coloured(appearance: Appearance, sheet: Sheet) -> Bytes:
    """A look's colour and texture over the window of a sheet, (h, w, 3)."""
    table = colour.shades(appearance.hue, appearance.saturation, appearance.lightness, _SWING * appearance.contrast)
    return bytes_of(cv2.applyColorMap(_pattern(appearance.texture, sheet.window, sheet.unit), table[:, None]))


def _lit(picture: Bytes, relief: Bytes) -> Bytes:
    return bytes_of(cv2.multiply(picture, spread(relief, 3), scale=1 / shapes.NEUTRAL))


def _stencil(sheet: Sheet, picture: Bytes, alpha: Bytes, labels: Bytes) -> Stencil:
    """The painted sheet without its empty margins."""
    left, top, width, height = cv2.boundingRect(alpha)
    part = (slice(top, max(top + height, 1)), slice(left, max(left + width, 1)))
    opaque = cv2.multiply(picture[part], spread(alpha[part], 3), scale=1 / 255)
    origin = (sheet.origin[0] - left, sheet.origin[1] - top)
    return Stencil(np.dstack([opaque, alpha[part]]), sheet.unit, origin, labels[part].copy())


@lru_cache(maxsize=256)
def _painted(region: Region, appearance: Appearance, unit: float) -> Stencil:
    """The part that a region has of its own."""
    sheet = _SHAPES[region](appearance.shape, unit)
    picture = _lit(_coloured(appearance, sheet), sheet.relief)
    labels = np.where(sheet.alpha > 127, number(region), 0).astype(np.uint8)
    return _stencil(sheet, picture, sheet.alpha, labels)


def _distance(x: Plane, y: Plane, to_x: float, to_y: float) -> Plane:
    return np.hypot(x - np.float32(to_x), y - np.float32(to_y)).astype(np.float32)


def _ramp(distance: Plane, width: float) -> Plane:
    """0 to 1 across a border `width` wide at distance 0."""
    t = np.clip(distance / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _layered(base: Bytes, base_label: int, layers: list[tuple[Plane, Bytes, int]]) -> tuple[Bytes, Bytes]:
    """Pictures laid over each other by weight, and the number of the uppermost one that covers by half."""
    picture, labels = base.astype(np.float32), np.full(base.shape[:2], base_label, np.uint8)
    for weight, layer, label in layers:
        picture += (layer - picture) * weight[..., None]
        labels[weight > 0.5] = label
    return np.rint(picture).astype(np.uint8), labels


def _down(sheet: Sheet, seed: int) -> Bytes:
    """Relief of small soft feathers."""
    shape = sheet.alpha.shape
    fine = noise(shape, (0.012 * sheet.unit, 0.045 * sheet.unit), 3, seed)
    return np.clip(shapes.NEUTRAL + 9 * fine, 90, 170).astype(np.uint8)


@lru_cache(maxsize=64)
def _body(belly: Appearance, breast: Appearance, back: Appearance, unit: float) -> Stencil:
    sheet = Sheet(unit, (-0.46, -0.46, 0.52, 0.36))
    x, y = sheet.grid()
    jag = noise(x.shape, (0.02 * unit, 0.035 * unit), 2, 21) * 0.008
    above = _ramp(-0.055 - 0.30 * x - y + jag, 0.05)
    front = _ramp(x - 0.055 - 0.22 * y + jag, 0.06) * (1 - above)
    picture, labels = _layered(
        _coloured(belly, sheet),
        number("belly"),
        [
            (front, _coloured(breast, sheet), number("breast")),
            (above, _coloured(back, sheet), number("back")),
        ],
    )
    full = np.full(x.shape, 255, np.uint8)
    return _stencil(sheet, _lit(picture, _down(sheet, 22)), full, labels)


@lru_cache(maxsize=64)
def _head(crown: Appearance, throat: Appearance, eye: Appearance, back: Appearance, unit: float) -> Stencil:
    sheet = Sheet(unit, (-0.30, -0.26, 0.26, 0.34))
    x, y = sheet.grid()
    jag = noise(x.shape, (0.015 * unit, 0.03 * unit), 2, 23) * 0.006
    cap = _ramp(-0.052 - 0.05 * x - y + jag, 0.02)
    bib = _ramp(y - 0.035 + jag, 0.025) * _ramp(x + 0.03 - 0.05 * y + jag, 0.04)
    layers = [
        (bib, _coloured(throat, sheet), number("throat")),
        (cap, _coloured(crown, sheet), number("crown")),
    ]
    distance = _distance(x, y, *EYE)
    if eye.shape == "stripe":
        middle = EYE[1] + 0.06 * (EYE[0] - x)
        stripe = _ramp(0.024 - np.abs(y - middle) + jag, 0.012) * _ramp(x + 0.13 + jag, 0.06)
        layers.append((stripe, _plain((38, 32, 30), x.shape), number("eye")))
    if eye.shape == "ring":
        layers.append((_ramp(0.050 - distance, 0.008), _plain((238, 234, 224), x.shape), number("eye")))
    iris = colour.rgb(eye.hue, eye.saturation, eye.lightness)
    visible = eye.shape != NO_SHAPE
    layers += visible * [
        (_ramp(0.038 - distance, 0.008), _plain((22, 18, 18), x.shape), number("eye")),
        (_ramp(0.031 - distance, 0.006), _plain(iris, x.shape), number("eye")),
        (_ramp(0.020 - distance, 0.006), _plain((10, 8, 10), x.shape), number("eye")),
    ]
    picture, labels = _layered(_coloured(back, sheet), number("back"), layers)
    relief = np.where(distance < 0.05, shapes.NEUTRAL, _down(sheet, 24)).astype(np.uint8)
    picture = _lit(picture, relief)
    glint = _ramp(0.010 - _distance(x, y, EYE[0] + 0.010, EYE[1] - 0.012), 0.006)
    picture, _ = _layered(picture, 0, visible * [(glint, _plain((255, 255, 255), x.shape), 0)])
    reach = _distance(x, y, 0.01, -0.005)
    down_front = np.clip((x + 0.5 * y) / 0.15, 0, 1) * np.clip(y / 0.1, 0, 1)
    alpha = _ramp(HEAD_RADIUS * (1.22 + 0.12 * down_front) - reach + jag, 0.06)
    labels = np.where(alpha > 0.5, labels, 0).astype(np.uint8)
    return _stencil(sheet, picture, np.rint(alpha * 255).astype(np.uint8), labels)


def _plain(rgb: tuple[int, int, int], shape: tuple[int, ...]) -> Bytes:
    return np.full((*shape, 3), rgb, np.uint8)
