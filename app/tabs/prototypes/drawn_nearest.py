"""The patches nearest to one prototype, among training and test pictures, drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.tabs.prototypes.nearest_search import Search
from protoexplain.data.loading import cut, geometry_of
from protoexplain.data.records import ImageSet
from protoexplain.errors import UserError
from protoexplain.explain.explainer import Explainer
from protoexplain.explain.prototypes.prototype import Neighbour
from protoexplain.io.images import load_image
from protoexplain.view.pictures import Picture, encoded, region_of

SIDE: Final = 200
TITLES: Final = {"train": "Nearest training pictures", "test": "Nearest test pictures"}


@dataclass(frozen=True)
class Near:
    """A picture with a part that is near to the prototype.

    Args:
        image: Its key in the data set.
        name: Of its class.
        own: Whether that is the prototype's class; None where all classes share the prototype.
        similarity: Of the part.
        picture: What the model saw of it, with the part's box; None where it can no longer be read.
        explainable: Whether a link can lead to its explanation.
    """

    image: str
    name: str
    own: bool | None
    similarity: float
    picture: Picture | None
    explainable: bool


@dataclass(frozen=True)
class NearSplit:
    """The nearest pictures of a split.

    Args:
        title: For people.
        near: Nearest first.
        fires: Share of all pictures of the split in which the prototype is found, None where it has no level.
        foreign: Share of the nearest that are of other classes, None where that says nothing.
    """

    title: str
    near: tuple[Near, ...]
    fires: float | None
    foreign: float | None


def nearby(explainer: Explainer, search: Search, index: int, images: ImageSet | None) -> tuple[NearSplit, ...]:
    """The nearest pictures of a prototype; none until they were found.

    Args:
        explainer: The model.
        search: What was found.
        index: Number of the prototype.
        images: The data set of the model.
    """
    if images is None or search.result is None or index not in range(len(search.result)):
        return ()
    owner = explainer.checkpoint.prototypes[index].label
    return tuple(
        NearSplit(
            TITLES.get(split, split),
            tuple(_drawn(explainer, images, near, owner) for near in found.nearest),
            found.fires,
            found.foreign,
        )
        for split, found in search.result[index].items()
    )


def _drawn(explainer: Explainer, images: ImageSet, near: Neighbour, owner: int) -> Near:
    record = next((record for record in images.records if record.id == near.image), None)
    picture, name = None, explainer.checkpoint.classes[near.label]
    if record is not None:
        try:
            rgb = load_image(record.path).rgb
            geometry = geometry_of(
                record,
                (rgb.shape[1], rgb.shape[0]),
                explainer.checkpoint.data.crop,
                explainer.checkpoint.config.data.image_size,
            )
            box = region_of(near.box, geometry.crop)
            picture = encoded(cut(rgb, geometry), f"Picture of {name}, the part marked by a box", box, side=SIDE)
        except UserError:
            picture = None
    explainable = record is not None and record.split == "test"
    return Near(near.image, name, None if owner < 0 else owner == near.label, near.similarity, picture, explainable)
