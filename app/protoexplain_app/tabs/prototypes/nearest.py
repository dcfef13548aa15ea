"""The patches nearest to each prototype in training and test pictures: a search of all of them, and what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.dataset_view import DatasetView
from protoexplain.data.loading import geometry_of
from protoexplain.data.records import ImageSet
from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.prototypes.prototype import Neighbour, SplitExplanation, explain_prototypes
from protoexplain.io.images import load_image
from protoexplain.view.pictures import Picture, encoded, region_of
from protoexplain_app.dataset_jobs import DatasetJobs
from protoexplain_app.examples import Examples
from protoexplain_app.jobs import Job, RunningJob

NEAREST = 5
SPLITS = ("train", "test")

Nearest = tuple[Mapping[str, SplitExplanation], ...]
"""Of each prototype: split -> its images."""
Search = Job[Nearest]
Neighbours = DatasetJobs[Nearest]


class NearestPatchSearch:
    """Which patches of all pictures are nearest to each prototype?"""

    name = "neighbours"
    adapter: TypeAdapter[Nearest] = TypeAdapter(tuple[dict[str, SplitExplanation], ...])

    def pictures(self, examples: Examples, checkpoint: Checkpoint) -> int:
        return len(_own(examples, checkpoint).image_set.records)

    def run(self, examples: Examples, explainer: Explainer, job: RunningJob[Nearest]) -> Nearest:
        checkpoint = explainer.checkpoint
        view = _own(examples, checkpoint)
        config = checkpoint.config.data.model_copy(update={"workers": 0})
        found = explain_prototypes(
            explainer.model,
            checkpoint.prototypes,
            checkpoint.classes,
            {name: view.dataset(getattr(view, name), config) for name in SPLITS},
            NEAREST,
            progress=lambda done, total: job.progress("looking at all pictures", done, total),
        )
        return tuple(dict(entry.splits) for entry in found)

    def valid(self, checkpoint: Checkpoint, result: Nearest) -> bool:
        labels = range(len(checkpoint.classes))
        near = [near for entry in result for split in entry.values() for near in (*split.nearest, *split.nearest_own)]
        return all(one.label in labels for one in near) and len(result) == len(checkpoint.prototypes)


def _own(examples: Examples, checkpoint: Checkpoint) -> DatasetView:
    view = examples.own_view(checkpoint)
    if view is None:
        raise UserError("the data set of the model is not at hand")
    return view


SIDE: Final = 200
TITLES: Final = {"train": "Nearest training pictures", "test": "Nearest test pictures"}


@dataclass(frozen=True)
class NearImage:
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
class NearestInSplit:
    """The nearest pictures of a split.

    Args:
        title: For people.
        near: Nearest first.
        fires: Share of all pictures of the split in which the prototype is found, None where it has no level.
        foreign: Share of the nearest that are of other classes, None where that says nothing.
    """

    title: str
    near: tuple[NearImage, ...]
    fires: float | None
    foreign: float | None


def nearest_images(
    explainer: Explainer, search: Search, index: int, images: ImageSet | None
) -> tuple[NearestInSplit, ...]:
    """The nearest pictures of a prototype; none until they were found.

    Args:
        explainer: The model.
        search: What was found.
        index: Number of the prototype.
        images: The data set of the model.
    """
    if images is None or search.result is None or index not in range(len(search.result)):
        return ()
    record = explainer.checkpoint.prototypes[index]
    return tuple(
        NearestInSplit(
            TITLES.get(split, split),
            tuple(_drawn(explainer, images, near, record) for near in found.nearest),
            found.fires,
            found.foreign,
        )
        for split, found in search.result[index].items()
    )


def _drawn(explainer: Explainer, images: ImageSet, near: Neighbour, prototype: PrototypeRecord) -> NearImage:
    record = next((record for record in images.records if record.id == near.image), None)
    picture, name = None, explainer.checkpoint.classes[near.label]
    if record is not None:
        try:
            loaded, known = load_image(record.path), explainer.checkpoint
            crop = geometry_of(record, loaded.size, known.data.crop, known.config.data.image_size).crop
            seen, box = loaded.region(crop.as_list()), region_of(near.box, crop)
            picture = encoded(seen, f"Picture of {name}, the part marked by a box", box, side=SIDE)
        except UserError:
            picture = None
    explainable = record is not None and record.split == "test"
    return NearImage(
        near.image,
        name,
        None if prototype.owners is None else prototype.belongs_to(near.label),
        near.similarity,
        picture,
        explainable,
    )
