"""Paint a bird in a pose, part over part from far to near, and keep which region shows where."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import cv2
import numpy as np

from protoexplain.planted.anatomy import Pose
from protoexplain.planted.canvas import (
    Bytes,
    Matrix,
    Stencil,
    affine,
    bytes_of,
    covered,
    fill,
    lay,
    shade,
    spread,
    transform,
    warp,
)
from protoexplain.planted.classes import Region
from protoexplain.planted.plumage import Plumage, number

FINER: Final = 2  # birds are drawn at twice the size of the picture and then reduced
_TOES: Final = ((0.075, 0.012), (0.055, 0.028), (-0.045, 0.014))


class Painter:
    """Paints one bird.

    Args:
        backdrop: (size, size, 3) sRGB.
        pose: How the bird stands.
    """

    def __init__(self, backdrop: Bytes, pose: Pose) -> None:
        self.side = FINER * backdrop.shape[0]
        self.pose = pose
        self.camera = pose.camera(self.side)
        self.unit = float(np.hypot(*self.camera[:2, 0]))
        view = cv2.cvtColor(backdrop, cv2.COLOR_RGB2RGBA)
        self.canvas: Bytes = bytes_of(cv2.resize(view, (self.side, self.side), interpolation=cv2.INTER_LINEAR))
        self.regions: Bytes = np.zeros(backdrop.shape[:2], np.uint8)
        self.outline = transform(self.camera, pose.outline())
        whole = slice(0, self.side)
        self.trunk_roi = covered(self.outline, self.side) or (whole, whole)
        self.trunk: Bytes = np.zeros((self.side, self.side), np.uint8)
        fill(self.trunk, self.outline)

    def paint(self, plumes: Plumage, without: Collection[Region] = ()) -> tuple[Bytes, Bytes]:
        """Draw the bird.

        Args:
            plumes: Its parts.
            without: Of tail, legs, beak and wing those that are not drawn.

        Returns:
            The picture (size, size, 3) and the number of the region that shows at each pixel (size, size).
        """
        head, wing = self.camera @ self.pose.frame("head"), self.camera @ self.pose.frame("wing")
        if "tail" not in without:
            self._place(plumes.tail, self.camera @ self.pose.frame("tail"))
        if "legs" not in without:
            self._leg(plumes.leg, near=False)
            self._leg(plumes.leg, near=True)
        self._place(plumes.crest, head)
        if "beak" not in without:
            self._place(plumes.beak, head)
        self._trunk([(plumes.body, self.camera @ affine(1, self.pose.plump, 0, 0, 0)), (plumes.head, head)])
        if "wing" not in without:
            self._shadow(plumes.wing, wing)
            self._place(plumes.wing, wing)
        self._round()
        size = (self.side // FINER,) * 2
        picture = cv2.resize(self.canvas, size, interpolation=cv2.INTER_AREA)
        return bytes_of(cv2.cvtColor(picture, cv2.COLOR_RGBA2RGB)), self.regions

    def _place(self, stencil: Stencil, frame: Matrix) -> None:
        matrix = stencil.placed(frame)
        roi = stencil.covers(matrix, self.side)
        if roi is not None:
            lay(self.canvas, warp(stencil.picture, matrix, roi), roi)
            self._label(stencil, matrix)

    def _trunk(self, layers: list[tuple[Stencil, Matrix]]) -> None:
        """Lay stencils over each other, cut them to the outline at once and place the result."""
        rows, columns = roi = self.trunk_roi
        picture: Bytes = np.zeros((rows.stop - rows.start, columns.stop - columns.start, 4), np.uint8)
        for stencil, frame in layers:
            matrix = stencil.placed(frame)
            lay(picture, warp(stencil.picture, matrix, roi), (slice(None), slice(None)))
            self._label(stencil, matrix, self.trunk)
        cut = cv2.multiply(picture, spread(self.trunk[roi], 4), scale=1 / 255)
        lay(self.canvas, bytes_of(cut), roi)

    def _label(self, stencil: Stencil, matrix: Matrix, inside: Bytes | None = None) -> None:
        """Note which region a stencil shows where, at the size of the picture."""
        matrix = affine(1 / FINER, 1 / FINER, 0, 0, 0) @ matrix
        roi = stencil.covers(matrix, self.side // FINER)
        if roi is None or stencil.labels is None:
            return
        labels = warp(stencil.labels, matrix, roi, nearest=True)
        if inside is not None:
            labels[inside[::FINER, ::FINER][roi] < 128] = 0
        np.copyto(self.regions[roi], labels, where=labels > 0)

    def _leg(self, colour: tuple[int, int, int], near: bool) -> None:
        hip, heel, foot = self.pose.leg(near)
        bones = [
            (hip, heel, 0.040),
            (heel, foot, 0.024),
            *((foot, foot + np.array(toe), 0.018) for toe in _TOES),
        ]
        light = 1.0 if near else 0.6
        skin = [*(channel * light for channel in colour), 255]
        edge = [*(channel * light * 0.5 for channel in colour), 255]
        for start, end, width in bones:
            line = [np.rint(transform(self.camera, [start, end]) * 16).astype(np.int32)]
            thick = max(1, round(width * self.unit))
            cv2.polylines(self.canvas, line, False, edge, thick, cv2.LINE_AA, 4)
            cv2.polylines(self.canvas, line, False, skin, max(1, round(0.65 * thick)), cv2.LINE_AA, 4)
            line[0] //= FINER
            cv2.polylines(self.regions, line, False, number("legs"), max(1, thick // FINER), cv2.LINE_8, 4)

    def _shadow(self, wing: Stencil, frame: Matrix) -> None:
        """Darken the trunk just below the wing."""
        lowered = frame.copy()
        lowered[1, 2] += 0.022 * self.unit
        matrix = wing.placed(lowered)
        roi = wing.covers(matrix, self.side)
        if roi is None:
            return
        alpha = cv2.extractChannel(warp(wing.picture, matrix, roi), 3)
        dark = cv2.multiply(alpha, self.trunk[roi], scale=0.16 / 255)
        shade(self.canvas, bytes_of(cv2.convertScaleAbs(dark, alpha=-1, beta=128)), roi)

    def _round(self) -> None:
        """Light the trunk as a round body: bright towards the sun, dark below and along the rim."""
        roi = self.trunk_roi
        coarse = self.unit / 4
        trunk = self.trunk[roi]
        small = cv2.resize(trunk, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        solid = np.pad(small, 8).astype(np.float32) / 255
        broad = cv2.GaussianBlur(solid, (0, 0), max(0.05 * coarse, 0.5))
        rim = cv2.GaussianBlur(solid, (0, 0), max(0.016 * coarse, 0.4))
        down = cv2.Sobel(broad, cv2.CV_32F, 0, 1, ksize=3, scale=0.05 * coarse / 8)
        across = cv2.Sobel(broad, cv2.CV_32F, 1, 0, ksize=3, scale=0.05 * coarse / 8)
        light = 1.02 + 0.75 * (np.cos(self.pose.sun) * down + np.sin(self.pose.sun) * across)
        light *= 0.80 + 0.20 * np.clip(2 * rim - 0.9, 0, 1)
        tone = np.clip(light[8:-8, 8:-8] * 128, 0, 255).astype(np.uint8)
        factor = cv2.resize(tone, trunk.shape[::-1], interpolation=cv2.INTER_LINEAR)
        inside = cv2.multiply(factor, trunk, scale=1 / 255)
        outside = cv2.convertScaleAbs(trunk, alpha=-128 / 255, beta=128)
        shade(self.canvas, bytes_of(cv2.add(inside, outside)), roi)
