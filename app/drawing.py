"""The small pictures of an explanation, as data URIs: parts, boxes, heat maps, training pictures."""

from __future__ import annotations

import base64
import io
from typing import Literal

import numpy as np
from PIL import Image

from app.case import Picture, Region, Row
from protoexplain.data.geometry import Box
from protoexplain.errors import UserError
from protoexplain.explain.local import Match
from protoexplain.explain.render import RGB, draw_box, heat_overlay
from protoexplain.explain.session import ExplainedImage, Explainer

WHOLE_SIDE, ROW_SIDE = 720, 300


class Drawing:
    """Draws one explained image."""

    def __init__(self, explainer: Explainer, explained: ExplainedImage) -> None:
        self.explainer, self.explanation, self.rgb = explainer, explained.explanation, explained.rgb
        crop = self.explanation.geometry.crop
        x0, y0, x1, y1 = map(int, crop.as_list())
        self.crop = Box(x0, y0, x1, y1)
        self.region = _fitted(self.rgb[y0:y1, x0:x1], ROW_SIDE)

    def whole(self) -> Picture:
        return _picture(_fitted(self.rgb, WHOLE_SIDE), f"The picture {self.explanation.image}")

    def seen(self) -> Region | None:
        height, width = self.rgb.shape[:2]
        return None if self.crop == Box(0, 0, width, height) else self._percent(self.crop)

    def mark(self, match: Match, text: str) -> Region:
        return self._percent(Box(*match.box), text)

    def found(self, number: int, match: Match, share: float) -> Row:
        """A found prototype."""
        box = self._inside(match)
        height, width = self.region.shape[:2]
        heat = heat_overlay(self.region, self.explanation.heat(match.prototype, width, height))
        return self._row(
            number,
            match,
            match.presence,
            share,
            part=_picture(self._cut(match), f"Part {number} of the picture"),
            place=_picture(draw_box(self.region, box), f"Part {number} of the picture marked by a box"),
            heat=_picture(heat, f"Heat map: where the picture looks like prototype {match.prototype}"),
        )

    def absent(self, number: int, match: Match, share: float) -> Row:
        """A prototype that was not found."""
        return self._row(number, match, match.absence, share, part=None, place=None, heat=None)

    def _row(
        self,
        number: int,
        match: Match,
        evidence: float,
        share: float,
        *,
        part: Picture | None,
        place: Picture | None,
        heat: Picture | None,
    ) -> Row:
        record = self.explainer.record(match.prototype)
        owner = self.explainer.checkpoint.classes[record.label] if record.label >= 0 else None
        of = f" of a {owner}" if owner else ""
        patch, source = self._training(match.prototype, "patch"), self._training(match.prototype, "source")
        return Row(
            number=number,
            prototype=match.prototype,
            owner=owner,
            similarity=match.similarity,
            evidence=evidence,
            share=abs(share),
            part=part,
            place=place,
            heat=heat,
            patch=None if patch is None else _picture(patch, f"Prototype {match.prototype}: training part{of}"),
            source=None if source is None else _picture(source, f"Training picture{of}, the part marked by a box"),
            origin=record.image_id or "",
            written=record.projected,
        )

    def _training(self, prototype: int, kind: Literal["patch", "source"]) -> RGB | None:
        """A stored picture; None also where the checkpoint's folder vanished under a loaded model."""
        try:
            picture = self.explainer.patch(prototype) if kind == "patch" else self.explainer.source(prototype)
        except UserError:
            return None
        return None if picture is None else _fitted(picture, ROW_SIDE)

    def _cut(self, match: Match) -> RGB:
        height, width = self.rgb.shape[:2]
        box = Box(*match.box).clipped(width, height)
        x0, y0 = min(int(box.x0), width - 1), min(int(box.y0), height - 1)
        return _fitted(self.rgb[y0 : max(round(box.y1), y0 + 1), x0 : max(round(box.x1), x0 + 1)], ROW_SIDE)

    def _inside(self, match: Match) -> Box:
        """The box of a match in the pixels of the drawn region."""
        height, width = self.region.shape[:2]
        x, y = width / self.crop.width, height / self.crop.height
        box = Box(*match.box)
        return Box(
            (box.x0 - self.crop.x0) * x,
            (box.y0 - self.crop.y0) * y,
            (box.x1 - self.crop.x0) * x,
            (box.y1 - self.crop.y0) * y,
        )

    def _percent(self, box: Box, text: str = "") -> Region:
        height, width = self.rgb.shape[:2]
        return Region(
            100 * box.x0 / width, 100 * box.y0 / height, 100 * box.width / width, 100 * box.height / height, text
        )


def _fitted(rgb: RGB, side: int) -> RGB:
    """Scaled down, where needed, to at most `side` pixels on both sides."""
    if max(rgb.shape[:2]) <= side:
        return rgb
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(image)


def _picture(rgb: RGB, alt: str) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=88, subsampling=0)
    content = base64.b64encode(buffer.getvalue()).decode()
    return Picture(f"data:image/jpeg;base64,{content}", alt, rgb.shape[1], rgb.shape[0])
