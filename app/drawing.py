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
from protoexplain.explain.match import Match, Statement
from protoexplain.explain.render import RGB, heat_overlay
from protoexplain.explain.session import ExplainedImage, Explainer
from protoexplain.io.images import load_image
from protoexplain.io.prototypes import PrototypeRecord

WHOLE_SIDE, ROW_SIDE = 720, 300


class Drawing:
    """Draws one explained image."""

    def __init__(self, explainer: Explainer, explained: ExplainedImage) -> None:
        self.explainer, self.explanation, self.rgb = explainer, explained.explanation, explained.rgb
        x0, y0, x1, y1 = map(int, self.explanation.geometry.crop.as_list())
        self.frame, self.crop = Box(0, 0, self.rgb.shape[1], self.rgb.shape[0]), Box(x0, y0, x1, y1)
        self.small = _fitted(self.rgb, WHOLE_SIDE)
        self.region = _fitted(self.small if self.crop == self.frame else self.rgb[y0:y1, x0:x1], ROW_SIDE)

    def whole(self) -> Picture:
        return _picture(self.small, f"The picture {self.explanation.image}")

    def seen(self) -> Region | None:
        return None if self.crop == self.frame else _percent(self.crop, self.frame)

    def mark(self, match: Match, text: str) -> Region:
        return _percent(Box(*match.box), self.frame, text)

    def found(self, number: int, match: Match, share: float) -> Row:
        """A prototype that was found."""
        height, width = self.region.shape[:2]
        heat = heat_overlay(self.region, self.explanation.heat(match.prototype, width, height))
        place = _percent(Box(*match.box), self.crop)
        return self._row(
            number,
            match,
            match.presence,
            share,
            part=_picture(self._cut(match), f"Part {number} of the picture"),
            place=_picture(self.region, f"Part {number} of the picture marked by a box", place),
            heat=_picture(heat, f"Heat map: where the picture looks like prototype {match.prototype}"),
        )

    def absent(self, number: int, match: Statement, share: float) -> Row:
        """A prototype that was not found."""
        return self._row(number, match, match.absence, share, part=None, place=None, heat=None)

    def _row(
        self,
        number: int,
        match: Statement,
        evidence: float,
        share: float,
        *,
        part: Picture | None,
        place: Picture | None,
        heat: Picture | None,
    ) -> Row:
        record = self.explainer.record(match.prototype)
        owner = self.explainer.checkpoint.classes[record.label] if record.label >= 0 else None
        of = f" of {owner}" if owner else ""
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
            patch=self._stored(record, "patch", f"Prototype {match.prototype}: part of a training picture{of}"),
            source=self._stored(record, "source", f"Training picture {record.image_id}, the part marked by a box"),
            written=record.projected,
        )

    def _stored(self, record: PrototypeRecord, kind: Literal["patch", "source"], alt: str) -> Picture | None:
        """A picture of the checkpoint; None also where its folder vanished under a loaded model."""
        try:
            content = self.explainer.checkpoint.picture(record.index, kind)
            if content is None:
                return None
            width, height = load_image(io.BytesIO(content)).size
        except UserError:
            return None
        box = None
        if kind == "source" and record.input_box is not None:
            box = _percent(Box(*record.input_box), Box(0, 0, width, height))
        name = record.patch if kind == "patch" else record.source
        return Picture(_data_uri(content, "png" if str(name).endswith("png") else "jpeg"), alt, width, height, box)

    def _cut(self, match: Match) -> RGB:
        height, width = self.rgb.shape[:2]
        box = Box(*match.box).clipped(width, height)
        x0, y0 = min(int(box.x0), width - 1), min(int(box.y0), height - 1)
        return _fitted(self.rgb[y0 : max(round(box.y1), y0 + 1), x0 : max(round(box.x1), x0 + 1)], ROW_SIDE)


def _percent(box: Box, frame: Box, text: str = "") -> Region:
    """Where a box lies in a frame, both in the same pixels."""
    return Region(
        100 * (box.x0 - frame.x0) / frame.width,
        100 * (box.y0 - frame.y0) / frame.height,
        100 * box.width / frame.width,
        100 * box.height / frame.height,
        text,
    )


def _fitted(rgb: RGB, side: int) -> RGB:
    """Scaled down, where needed, to at most `side` pixels on both sides."""
    if max(rgb.shape[:2]) <= side:
        return rgb
    image = Image.fromarray(np.ascontiguousarray(rgb))
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(image)


def _picture(rgb: RGB, alt: str, box: Region | None = None) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=88, subsampling=0)
    return Picture(_data_uri(buffer.getvalue(), "jpeg"), alt, rgb.shape[1], rgb.shape[0], box)


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
