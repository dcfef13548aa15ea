"""The small pictures of an explanation: parts, boxes, heat maps, training pictures."""

from __future__ import annotations

from dataclasses import replace

from app.explanation_view import RowView
from app.pictures import Picture, Region, drawn_picture, fitted, heat_layer, percent_of, prototype_picture
from protoexplain.data.geometry import Box
from protoexplain.explain.attribution.methods import METHODS
from protoexplain.explain.attribution.question import Target
from protoexplain.explain.evidence.match import Match, Statement
from protoexplain.explain.explainer import Explainer, Seen
from protoexplain.explain.overlays import RGB
from protoexplain.regions.boxes import upsample
from protoexplain.report.pictures import cut_out

SIMILARITY = "map"
"""The method of heat maps that every model has computed already."""
WHOLE_SIDE, ROW_SIDE, HEAT_SIDE = 720, 300, 112


class Drawing:
    """Draws one image that a model has looked at.

    Args:
        explainer: The model.
        seen: The image.
        method: Of the heat maps, a name in `METHODS` that can explain prototypes.
        side: Of pictures in rows, in pixels at most.
    """

    def __init__(self, explainer: Explainer, seen: Seen, method: str = SIMILARITY, side: int = ROW_SIDE) -> None:
        self.image, self.method = seen, method
        self.explainer, self.reading, self.rgb, self.name = explainer, seen.reading, seen.rgb, seen.name
        x0, y0, x1, y1 = map(int, self.reading.geometry.crop.as_list())
        self.frame, self.crop = Box(0, 0, self.rgb.shape[1], self.rgb.shape[0]), Box(x0, y0, x1, y1)
        self.small = fitted(self.rgb, WHOLE_SIDE)
        region = fitted(self.small if self.crop == self.frame else self.rgb[y0:y1, x0:x1], side)
        self.region = drawn_picture(region, "")

    def whole(self, what: str = "The picture") -> Picture:
        return drawn_picture(self.small, f"{what} {self.name}")

    def crop_region(self) -> Region | None:
        """The part of the picture that the model sees; None where it sees all of it."""
        return None if self.crop == self.frame else percent_of(self.crop, self.frame)

    def mark(self, match: Match, text: str) -> Region:
        return percent_of(Box(*match.box), self.frame, text)

    def found(self, number: int, match: Match, share: float) -> RowView:
        """A prototype that was found."""
        return self._row(
            number,
            match,
            match.presence,
            share,
            part=drawn_picture(self._cut(match), f"Part {number} of the picture"),
            place=self.place(match, f"Part {number} of the picture marked by a box"),
            heat=self.heat(match),
        )

    def place(self, match: Match, alt: str) -> Picture:
        """The seen region with the part's box."""
        return replace(self.region, alt=alt, box=percent_of(Box(*match.box), self.crop))

    def heat(self, match: Match) -> Picture:
        """The heat map of a match, to be laid over the seen region."""
        index = match.prototype
        if self.method == SIMILARITY:
            heat = upsample(self.reading.maps[index].float().cpu(), HEAT_SIDE, HEAT_SIDE).numpy()
            return heat_layer(heat, f"Heat map: where the picture looks like prototype {index}", match.heat_range)
        found = self.explainer.attribute(self.image, Target("prototype", index), [self.method], ()).maps[self.method]
        alt = f"{METHODS[self.method].title}: pixels that raise the similarity to prototype {index}"
        return heat_layer(found.heat.clip(min=0) if found.signed else found.heat, alt)

    def absent(self, number: int, match: Statement, share: float) -> RowView:
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
    ) -> RowView:
        record = self.explainer.record(match.prototype)
        owner = self.explainer.checkpoint.owner_name(record.index)
        return RowView(
            number=number,
            prototype=match.prototype,
            owner=owner,
            similarity=match.similarity,
            usual=match.usual,
            evidence=evidence,
            share=abs(share),
            part=part,
            place=place,
            heat=heat,
            patch=prototype_picture(self.explainer.checkpoint, match.prototype, "patch"),
            source=prototype_picture(self.explainer.checkpoint, match.prototype, "source"),
            written=record.projected,
            drawn=self.explainer.model.prototype_source.decoded,
        )

    def _cut(self, match: Match) -> RGB:
        return fitted(cut_out(self.rgb, match.box), ROW_SIDE)
