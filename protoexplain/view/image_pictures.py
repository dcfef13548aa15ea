"""The pictures of one explained image for a page: the whole image, parts, heat maps, and those of the prototypes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from protoexplain.checkpoint.prototypes import Edges
from protoexplain.data.geometry import Box
from protoexplain.explanations.attribution.methods import METHODS
from protoexplain.explanations.attribution.task import Target
from protoexplain.explanations.evidence.match import Match
from protoexplain.explanations.explainer import Explainer, ForwardResult
from protoexplain.explanations.overlays import RGB, heat_overlay
from protoexplain.regions.boxes import upsample
from protoexplain.view.pictures import Picture, Region, cut_out, encoded, fitted, heat_layer, region_of

SIMILARITY = "map"
"""The method of heat maps that every model has computed already."""
WHOLE_SIDE, ROW_SIDE, LAYER_SIDE = 720, 300, 112


class PrototypePictures(Protocol):
    """Gives the pictures of prototypes."""

    def patch(self, prototype: int) -> Picture | None:
        """The part that stands for a prototype; None where there is none."""
        ...

    def source(self, prototype: int) -> Picture | None:
        """The training picture with the part's box; None where there is none."""
        ...


class ImagePictures:
    """Draws one image after a forward pass; pictures are data URIs.

    Args:
        explainer: The model.
        forward: The image.
        prototypes: Gives the pictures of the prototypes.
        layered: Whether heat maps are layers over the region that the model saw, for pages that can make them fainter;
            otherwise they are laid over it once and for all.
        method: Of the heat maps, a name in `METHODS` that can explain prototypes.
        side: Of pictures in rows, in pixels at most.
    """

    def __init__(
        self,
        explainer: Explainer,
        forward: ForwardResult,
        prototypes: PrototypePictures,
        *,
        layered: bool = True,
        method: str = SIMILARITY,
        side: int = ROW_SIDE,
    ) -> None:
        self.explainer, self.forward, self.method, self.layered = explainer, forward, method, layered
        self.patch, self.source = prototypes.patch, prototypes.source
        rgb, self.side = forward.rgb, side
        x0, y0, x1, y1 = map(int, forward.forward_pass.geometry.crop.as_list())
        self.frame, self.crop = Box(0, 0, rgb.shape[1], rgb.shape[0]), Box(x0, y0, x1, y1)
        self._whole = fitted(rgb, WHOLE_SIDE)
        self._region: RGB = fitted(self._whole if self.crop == self.frame else rgb[y0:y1, x0:x1], side)
        self._place = encoded(self._region, "")

    def whole(self, marks: Sequence[tuple[Edges, str]] = (), what: str = "The picture") -> Picture:
        """The image with the region that the model saw, unless that is all of it, and with marked boxes."""
        region = [] if self.crop == self.frame else [region_of(self.crop.as_list(), self.frame)]
        boxes = [region_of(box, self.frame, text) for box, text in marks]
        return encoded(self._whole, f"{what} {self.forward.name}", *region, *boxes)

    def part(self, match: Match, number: int) -> Picture:
        """The part of the image in the box of a match."""
        return encoded(cut_out(self.forward.rgb, match.box), f"Part {number} of the picture", side=self.side)

    def place(self, match: Match, number: int) -> Picture | None:
        """The region that the model saw with the box of a match; None where heat maps are no layers."""
        return self.boxed_region(match, f"Part {number} of the picture marked by a box") if self.layered else None

    def boxed_region(self, match: Match, alt: str) -> Picture:
        """The region that the model saw with the box of a match."""
        return replace(self._place, alt=alt, boxes=(self._box(match),))

    def heat(self, match: Match) -> Picture:
        """The heat map of a match: a layer, or laid over the region with the part's box."""
        index, ends = match.prototype, match.heat_range
        alt = f"Heat map: where the picture looks like prototype {index}"
        if self.method == SIMILARITY:
            cells = self.forward.forward_pass.maps[index].float().cpu()
            height, width = (LAYER_SIDE, LAYER_SIDE) if self.layered else self._region.shape[:2]
            heat = upsample(cells, height, width).numpy()
        else:
            target = Target("prototype", index)
            found = self.explainer.attribute(self.forward, target, [self.method], ()).maps[self.method]
            heat, ends = found.heat.clip(min=0) if found.signed else found.heat, None
            alt = f"{METHODS[self.method].title}: pixels that raise the similarity to prototype {index}"
        if self.layered:
            return heat_layer(heat, alt, ends)
        return encoded(heat_overlay(self._region, heat, ends=ends), alt, self._box(match))

    def _box(self, match: Match) -> Region:
        return region_of(match.box, self.crop)
