"""Paint the parts of one class: colour and pattern of each region on the shapes, drawn once and kept."""

from __future__ import annotations

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


@lru_cache(maxsize=64)
def plumage(bird: BirdClass, unit: float) -> Plumage:
    """All parts of a class, at `unit` pixels per bird unit."""
    return Plumage(
        tail=_painted(shapes.tail(bird.appearance("tail").shape, unit), bird.appearance("tail"), "tail"),
        crest=_painted(shapes.crest(bird.appearance("crown").shape, unit), bird.appearance("crown"), "crown"),
        beak=_painted(shapes.beak(bird.appearance("beak").shape, unit), bird.appearance("beak"), "beak"),
        body=_body(bird, unit),
        head=_head(bird, unit),
        wing=_painted(shapes.wing(bird.appearance("wing").shape, unit), bird.appearance("wing"), "wing"),
        leg=colour.rgb(
            bird.appearance("legs").hue, bird.appearance("legs").saturation, bird.appearance("legs").lightness
        ),
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


def _painted(sheet: Sheet, appearance: Appearance, region: Region) -> Stencil:
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


def _body(bird: BirdClass, unit: float) -> Stencil:
    sheet = Sheet(unit, (-0.46, -0.46, 0.52, 0.36))
    x, y = sheet.grid()
    jag = noise(x.shape, (0.02 * unit, 0.035 * unit), 2, 21) * 0.008
    above = _ramp(-0.055 - 0.30 * x - y + jag, 0.05)
    front = _ramp(x - 0.055 - 0.22 * y + jag, 0.06) * (1 - above)
    picture, labels = _layered(
        _coloured(bird.appearance("belly"), sheet),
        number("belly"),
        [
            (front, _coloured(bird.appearance("breast"), sheet), number("breast")),
            (above, _coloured(bird.appearance("back"), sheet), number("back")),
        ],
    )
    full = np.full(x.shape, 255, np.uint8)
    return _stencil(sheet, _lit(picture, _down(sheet, 22)), full, labels)


def _head(bird: BirdClass, unit: float) -> Stencil:
    sheet = Sheet(unit, (-0.30, -0.26, 0.26, 0.34))
    x, y = sheet.grid()
    jag = noise(x.shape, (0.015 * unit, 0.03 * unit), 2, 23) * 0.006
    cap = _ramp(-0.052 - 0.05 * x - y + jag, 0.02)
    bib = _ramp(y - 0.035 + jag, 0.025) * _ramp(x + 0.03 - 0.05 * y + jag, 0.04)
    eye = bird.appearance("eye")
    layers = [
        (bib, _coloured(bird.appearance("throat"), sheet), number("throat")),
        (cap, _coloured(bird.appearance("crown"), sheet), number("crown")),
    ]
    distance = _distance(x, y, *EYE)
    if eye.shape == "stripe":
        middle = EYE[1] + 0.06 * (EYE[0] - x)
        stripe = _ramp(0.024 - np.abs(y - middle) + jag, 0.012) * _ramp(x + 0.13 + jag, 0.06)
        layers.append((stripe, _plain((38, 32, 30), x.shape), number("eye")))
    if eye.shape == "ring":
        layers.append((_ramp(0.050 - distance, 0.008), _plain((238, 234, 224), x.shape), number("eye")))
    iris = colour.rgb(eye.hue, eye.saturation, eye.lightness)
    layers += [
        (_ramp(0.038 - distance, 0.008), _plain((22, 18, 18), x.shape), number("eye")),
        (_ramp(0.031 - distance, 0.006), _plain(iris, x.shape), number("eye")),
        (_ramp(0.020 - distance, 0.006), _plain((10, 8, 10), x.shape), number("eye")),
    ]
    picture, labels = _layered(_coloured(bird.appearance("back"), sheet), number("back"), layers)
    relief = np.where(distance < 0.05, shapes.NEUTRAL, _down(sheet, 24)).astype(np.uint8)
    picture = _lit(picture, relief)
    glint = _ramp(0.010 - _distance(x, y, EYE[0] + 0.010, EYE[1] - 0.012), 0.006)
    picture, _ = _layered(picture, 0, [(glint, _plain((255, 255, 255), x.shape), 0)])
    reach = _distance(x, y, 0.01, -0.005)
    down_front = np.clip((x + 0.5 * y) / 0.15, 0, 1) * np.clip(y / 0.1, 0, 1)
    alpha = _ramp(HEAD_RADIUS * (1.22 + 0.12 * down_front) - reach + jag, 0.06)
    labels = np.where(alpha > 0.5, labels, 0).astype(np.uint8)
    return _stencil(sheet, picture, np.rint(alpha * 255).astype(np.uint8), labels)


def _plain(rgb: tuple[int, int, int], shape: tuple[int, ...]) -> Bytes:
    return np.full((*shape, 3), rgb, np.uint8)
