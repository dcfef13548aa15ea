"""Things near the bird, drawn once as tones with an outline and coloured when placed: perches, leaves, grass.

All lengths are shares of the picture's side; the origin is where a bird's feet stand, or the tip of a twig or
blade.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from protoexplain.planted.canvas import Stencil, affine, smooth, stroke, transform
from protoexplain.planted.patterns import noise
from protoexplain.planted.shapes import NEUTRAL, Sheet

VARIANTS = 4


@lru_cache(maxsize=64)
def perch(kind: str, variant: int, side: int) -> Stencil:
    """A branch, post, rock or piece of ground to stand on."""
    return {"branch": _branch, "post": _post, "rock": _rock, "ground": _ground}[kind](variant, side)


def _stencil(sheet: Sheet) -> Stencil:
    return Stencil(np.dstack([sheet.relief, sheet.alpha]), sheet.unit, sheet.origin)


def _branch(variant: int, side: int) -> Stencil:
    sheet = Sheet(side, (-1.25, -0.16, 1.25, 0.20))
    x, y = sheet.grid()
    rng = np.random.default_rng([41, variant])
    bend, swell = rng.uniform(-0.06, 0.06, 2), 0.030 + 0.006 * rng.random()
    middle = swell + bend[0] * x**2 + 0.05 * bend[1] * x**3
    knots = 0.10 * noise((1, x.shape[1]), (1, 0.25 * side), 2, 42 + variant)
    half = swell * (1 + knots) * (1 - 0.22 * x)
    across = (y - middle) / half
    bark = noise(x.shape, (0.006 * side, 0.09 * side), 3, 50 + variant)
    crack = np.clip(bark - 0.9, 0, 2)
    tone = 150 - 62 * across + 17 * bark - 40 * crack - 40 * np.clip(np.abs(across) - 0.75, 0, 1)
    sheet.relief[:] = np.clip(tone, 8, 250)
    sheet.alpha[:] = np.clip((1 - np.abs(across)) * half * side + 0.5, 0, 1) * 255
    return _stencil(sheet)


def _post(variant: int, side: int) -> Stencil:
    sheet = Sheet(side, (-0.20, -0.03, 0.20, 1.1))
    x, y = sheet.grid()
    half = 0.085 + 0.02 * variant / VARIANTS
    ragged = 0.004 * noise((1, x.shape[1]), (1, 0.02 * side), 2, 60 + variant)
    grain = noise(x.shape, (0.20 * side, 0.010 * side), 3, 64 + variant)
    top = 0.014 * (1 - (x / half) ** 2)
    tone = 128 - 70 * (x / half) * 0.6 + 22 * grain - 30 * np.clip(grain - 1, 0, 2)
    tone = np.where(y < top + 0.012 + ragged, 190 + 10 * grain, tone)
    sheet.relief[:] = np.clip(tone, 8, 250)
    inside = np.minimum(half - np.abs(x), y + 0.008 + ragged)
    sheet.alpha[:] = np.clip(inside * side + 0.5, 0, 1) * 255
    return _stencil(sheet)


def _rock(variant: int, side: int) -> Stencil:
    sheet = Sheet(side, (-0.75, -0.06, 0.75, 0.9))
    x, y = sheet.grid()
    rough = noise(x.shape, 0.16 * side, 5, 70 + variant)
    edge = 0.012 * noise((1, x.shape[1]), (1, 0.2 * side), 3, 74 + variant)
    width = 0.42 + 0.06 * variant
    top = -0.004 + 0.55 * np.abs(x / width) ** 3 * 0.5 + edge * np.clip(np.abs(x) / 0.15, 0, 1)
    depth = y - top
    slope = np.gradient(cv2.GaussianBlur(rough, (0, 0), 0.004 * side), axis=0)
    facing = np.clip(slope / max(float(slope.std()), 1e-6), -2, 2)
    tone = 200 - 260 * depth + 14 * rough - 26 * facing - 40 * x
    sheet.relief[:] = np.clip(tone, 12, 250)
    sheet.alpha[:] = np.clip(depth * side + 0.5, 0, 1) * 255
    return _stencil(sheet)


def _ground(variant: int, side: int) -> Stencil:
    sheet = Sheet(side, (-1.25, -0.12, 1.25, 0.9))
    x, y = sheet.grid()
    edge = 0.010 * noise((1, x.shape[1]), (1, 0.25 * side), 4, 80 + variant)
    rough = noise(x.shape, (0.05 * side, 0.16 * side), 5, 84 + variant)
    depth = y + 0.03 - edge
    sheet.relief[:] = np.clip(150 - 70 * depth + 24 * rough, 12, 250)
    sheet.alpha[:] = np.clip(depth / 0.05, 0, 1) * 255
    rng = np.random.default_rng([88, variant])
    for start_y in np.sort(rng.uniform(-0.02, 0.5, 900)):
        foot, lean = rng.uniform(-1.25, 1.25), rng.normal(0, 0.018)
        rise = rng.uniform(0.02, 0.06) * (1 + start_y)
        bow = [(foot, start_y), (foot + lean / 2 + 0.004, start_y - rise / 2), (foot + lean, start_y - rise)]
        points = sheet.pixels(smooth(bow, closed=False, steps=3))
        tone, width = int(rng.uniform(60, 225)), 0.004 * side * (1 + start_y)
        stroke(sheet.relief, points, tone, width)
        stroke(sheet.alpha, points, 255, width)
    return _stencil(sheet)


def _leaf(sheet: Sheet, x: float, y: float, length: float, angle: float, tone: int) -> None:
    frame = affine(length, length, angle, x, y)
    upper = [(0, 0), (0.2, -0.16), (0.5, -0.22), (0.8, -0.12), (1.0, 0.0)]
    lower = [(0.8, 0.12), (0.5, 0.22), (0.2, 0.16)]
    sheet.solid(transform(frame, smooth(upper + lower)), tone)
    half = smooth(upper, closed=False)
    sheet.solid(transform(frame, np.concatenate([half, half[::-1] * [1, 0]])), tone + 28)
    sheet.line(transform(frame, [(0.0, 0.0), (0.95, 0.0)]), tone - 32, 0.0035)
    for at in (0.25, 0.45, 0.65):
        for across in (-1, 1):
            sheet.line(transform(frame, [(at, 0.0), (at + 0.16, 0.15 * across)]), tone - 16, 0.002)


@lru_cache(maxsize=32)
def twig(variant: int, side: int) -> Stencil:
    """A leafy twig whose tip is the origin and whose stem leaves upwards."""
    sheet = Sheet(side, (-0.14, -1.15, 0.14, 0.12))
    rng = np.random.default_rng([90, variant])
    stem = smooth([(0.05 * rng.normal(), -1.15), (0.03 * rng.normal(), -0.5), (0, -0.06)], closed=False)
    for picture, value in ((sheet.alpha, 255), (sheet.relief, 70)):
        stroke(picture, sheet.pixels(stem), value, 0.007 * side)
    for index in range(3):
        angle = np.pi / 2 + (index - 1) * rng.uniform(0.7, 1.0)
        _leaf(sheet, 0, -0.06 - 0.012 * index, rng.uniform(0.075, 0.10), angle, int(rng.uniform(105, 150)))
    return _stencil(sheet)


@lru_cache(maxsize=32)
def blade(variant: int, side: int) -> Stencil:
    """A blade of grass whose tip is the origin and which grows from below."""
    sheet = Sheet(side, (-0.30, -0.02, 0.30, 1.15))
    rng = np.random.default_rng([95, variant])
    lean = rng.uniform(-0.22, 0.22)
    spine = smooth([(0, 0), (0.15 * lean, 0.15), (0.5 * lean, 0.5), (lean, 1.15)], closed=False)
    half = 0.010 * np.minimum(1, np.linspace(0, 4, len(spine)))[:, None] * [1, 0]
    sheet.solid(np.concatenate([spine - half, (spine + half)[::-1]]), NEUTRAL + 25)
    sheet.solid(np.concatenate([spine, (spine + half)[::-1]]), NEUTRAL - 25)
    return _stencil(sheet)


@lru_cache(maxsize=32)
def leaf(variant: int, side: int) -> Stencil:
    """A single leaf growing from the origin to the right."""
    sheet = Sheet(side, (-0.02, -0.06, 0.16, 0.06))
    _leaf(sheet, 0, 0, 0.09 + 0.012 * variant, 0.0, NEUTRAL)
    return _stencil(sheet)


@lru_cache(maxsize=8)
def shadow(side: int) -> Stencil:
    """A soft dark spot one bird long."""
    sheet = Sheet(side, (-0.5, -0.12, 0.5, 0.12))
    x, y = sheet.grid()
    sheet.relief[:] = 0
    sheet.alpha[:] = 110 * np.exp(-((x / 0.22) ** 2) - (y / 0.045) ** 2)
    return _stencil(sheet)
