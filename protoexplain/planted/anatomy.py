"""Where everything of a bird is: its pose, the frames of its parts, its outline and the 15 CUB landmarks.

Bird frame: x forwards, y down, origin in the trunk, lengths in bird units.  A bird facing right shows its
right side; mirrored it shows its left side, so the names of the side's parts swap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from protoexplain.planted.canvas import Matrix, affine, smooth, transform
from protoexplain.planted.classes import PARTS, REGION_PARTS, Region
from protoexplain.planted.shapes import EYE, HEAD_RADIUS

Frame = Literal["bird", "head", "wing", "tail"]

FOOT_LEVEL: Final = 0.365
_REACH: Final = ((-0.66, -0.42), (0.60, -0.42), (0.60, 0.42), (-0.66, 0.42))  # room for a usual bird
_LANDMARKS: Final[dict[str, tuple[Frame, float, float]]] = {
    "back": ("bird", -0.075, -0.145),
    "beak": ("head", 0.205, 0.004),
    "belly": ("bird", 0.0, 0.160),
    "breast": ("bird", 0.255, 0.035),
    "crown": ("head", -0.015, -0.110),
    "forehead": ("head", 0.095, -0.090),
    "eye": ("head", EYE[0], EYE[1]),
    "wing": ("wing", 0.20, 0.015),
    "nape": ("head", -0.125, 0.010),
    "tail": ("tail", 0.16, 0.0),
    "throat": ("head", 0.085, 0.090),
}


@dataclass(frozen=True, slots=True)
class Pose:
    """How one bird stands in one picture; nothing here depends on its class.

    Args:
        zoom: Bird units per picture side.
        angle: Turn of the whole bird in radians.
        mirrored: Facing left.
        x, y: Place of the bird's middle, as shares of the room that its usual reach leaves, 0 to 1.
        neck: How far the neck is stretched, 0 to 1.
        nod: Turn of the head in radians.
        turn: Foreshortening of the head, up to 1.
        lift: Turn of the wing away from the back in radians.
        spread: Opening of the wing, about 1.
        wag: Turn of the tail in radians.
        splay: Opening of the tail, about 1.
        plump: Height of the trunk, about 1.
        step: How far the feet are apart, in bird units.
        sun: Direction that the light comes from in radians, 0 above.
    """

    zoom: float
    angle: float
    mirrored: bool
    x: float
    y: float
    neck: float
    nod: float
    turn: float
    lift: float
    spread: float
    wag: float
    splay: float
    plump: float
    step: float
    sun: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Pose:
        """A random pose; the same distribution for every class."""
        return cls(
            zoom=rng.uniform(0.50, 0.72),
            angle=float(np.clip(rng.normal(0, 0.17), -0.35, 0.35)),
            mirrored=bool(rng.random() < 0.5),
            x=rng.uniform(0, 1),
            y=rng.uniform(0, 1),
            neck=rng.uniform(0, 1),
            nod=float(np.clip(rng.normal(0, 0.15), -0.35, 0.35)),
            turn=rng.uniform(0.86, 1.0),
            lift=rng.uniform(-0.08, 0.15),
            spread=rng.uniform(0.9, 1.15),
            wag=rng.uniform(-0.22, 0.28),
            splay=rng.uniform(0.85, 1.15),
            plump=rng.uniform(0.95, 1.08),
            step=rng.uniform(-0.02, 0.06),
            sun=rng.uniform(-0.8, 0.8),
        )

    def camera(self, side: int) -> Matrix:
        """Bird frame -> a square picture of `side` pixels."""
        scale = self.zoom * side
        turned = affine(-scale if self.mirrored else scale, scale, self.angle, 0, 0)
        reach = transform(turned, _REACH)
        low, high = reach.min(axis=0), reach.max(axis=0)
        room = side - (high - low)
        margin = 0.1 * np.maximum(room, 0)
        turned[:2, 2] = margin + (room - 2 * margin) * np.array([self.x, self.y]) - low
        return turned

    def frame(self, name: Frame) -> Matrix:
        """A part's frame -> bird frame.  Wing and tail have x backwards, hence the reflection."""
        if name == "head":
            x, y = 0.262 + 0.018 * self.neck, -0.188 - 0.050 * self.neck
            return affine(self.turn, 1, self.nod, x, y)
        if name == "wing":
            return _backwards(0.115, -0.068, 0.15 - self.lift, self.spread)
        if name == "tail":
            return _backwards(-0.285, -0.01, 0.16 + self.wag, self.splay)
        return np.eye(3)

    def outline(self) -> Matrix:
        """The trunk, neck and head as a closed curve (n, 2) in the bird frame."""
        head = self.frame("head")

        def rim(degrees: float, radius: float = 1.0) -> list[float]:
            angle = np.radians(degrees)
            point = HEAD_RADIUS * radius * np.array([[np.cos(angle), -np.sin(angle)]])
            x, y = transform(head, point)[0]
            return [float(x), float(y)]

        fat = self.plump
        head_rim = [rim(18, 0.98), rim(55), rim(95, 1.01), rim(135, 1.02), rim(168, 1.06)]
        back = [[0.055, -0.195 * fat], [-0.075, -0.170 * fat], [-0.20, -0.120 * fat], [-0.31, -0.045]]
        below = [[-0.335, 0.02], [-0.265, 0.095 * fat], [-0.13, 0.170 * fat], [0.04, 0.205 * fat]]
        front = [[0.20, 0.165 * fat], [0.305, 0.060], rim(-72, 1.12), rim(-38), rim(-8, 0.96)]
        return smooth([*head_rim, *back, *below, *front], steps=6)

    def leg(self, near: bool) -> Matrix:
        """Hip, heel and foot (3, 2) in the bird frame."""
        hip, foot = (0.0, 0.02 - self.step) if near else (0.055, 0.075 + self.step)
        return np.array([[hip, 0.15], [min(hip, foot) - 0.028, 0.265], [foot, FOOT_LEVEL]])

    def landmarks(self, camera: Matrix) -> dict[str, tuple[float, float] | None]:
        """The 15 CUB parts in the picture; None for eye and wing of the side turned away."""
        near, far = ("left", "right") if self.mirrored else ("right", "left")
        points: dict[str, tuple[float, float] | None] = dict.fromkeys(PARTS)
        for part, (frame, x, y) in _LANDMARKS.items():
            name = f"{near} {part}" if part in ("eye", "wing") else part
            points[name] = _pair(transform(camera @ self.frame(frame), [[x, y]])[0])
        for side, is_near in ((near, True), (far, False)):
            _, heel, foot = transform(camera, self.leg(is_near))
            points[f"{side} leg"] = _pair((heel + foot) / 2)
        return points


def region_of(part: str) -> Region:
    """The region that a CUB part lies on."""
    return next(region for region, parts in REGION_PARTS.items() if part in parts)


def _pair(point: Matrix) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _backwards(x: float, y: float, down: float, spread: float) -> Matrix:
    """A frame at (x, y) whose x axis points backwards and `down` radians below the horizon."""
    cos, sin = np.cos(down), np.sin(down)
    return np.array([[-cos, spread * sin, x], [sin, spread * cos, y], [0, 0, 1]])
