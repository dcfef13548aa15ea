"""Which cells of a training image lie on the object and which beside it, by its mask or its box."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.config import RunConfig
from protoexplain.data.check import for_each
from protoexplain.data.loading import Crop, geometry_of
from protoexplain.data.records import ImageRecord
from protoexplain.data.regions import object_mask
from protoexplain.errors import UserError
from protoexplain.io.images import image_size


def cells_beside_object(
    prototypes: Sequence[PrototypeRecord],
    images: Sequence[ImageRecord],
    crop: Crop,
    cells: Callable[[PrototypeRecord], Sequence[tuple[int, int]]],
) -> dict[int, list[bool]]:
    """Prototype -> which cells of its training image have their centre beside the object, as in `beside_object`.

    Args:
        prototypes: The records.
        images: Those that are known.
        crop: How they were cut.
        cells: Record -> rows and columns of the map that are asked about.

    Returns:
        Only prototypes whose image is known and whose object can be told.
    """
    known = {image.id: image for image in images}
    by_image: dict[str, list[PrototypeRecord]] = defaultdict(list)
    for record in prototypes:
        if record.image_id in known:
            by_image[record.image_id].append(record)

    def answers_on(id_: str) -> dict[int, list[bool]]:
        size = by_image[id_][0].source_size
        asked = [(record, row, column) for record in by_image[id_] for row, column in cells(record)]
        centres = [((column + 0.5) / r.map_width, (row + 0.5) / r.map_height) for r, row, column in asked]
        beside = beside_object(known[id_], size, crop, centres) if size else None
        answers: dict[int, list[bool]] = defaultdict(list)
        for (record, _, _), found in zip(asked if beside else (), beside or (), strict=True):
            answers[record.index].append(found)
        return answers

    return {index: beside for answer in for_each(list(by_image), answers_on) for index, beside in answer.items()}


def beside_object(
    image: ImageRecord, size: tuple[int, int], crop: Crop, points: Sequence[tuple[float, float]]
) -> list[bool] | None:
    """Which points of the region that the network sees lie beside the object; None where nothing tells.

    Args:
        image: With a mask, or with a box inside a larger picture.
        size: (width, height) of the image in pixels.
        crop: How it is cut.
        points: (x, y) from 0 to 1 of the region.
    """
    geometry = geometry_of(image, size, crop, 1)
    places = [geometry.to_source(x, y) for x, y in points]
    try:
        mask = object_mask(image)
    except UserError:
        return None
    if mask is not None:
        return None if mask.shape != (size[1], size[0]) else [not mask[int(y), int(x)] for x, y in places]
    if image.box is not None and crop == "full":
        return [not image.box.contains(x, y) for x, y in places]
    return None


def cells_on_object(images: Sequence[ImageRecord], crop: Crop, size: tuple[int, int]) -> Tensor:
    """bool [N,H,W]: which cells of a map have their centre on the object, as in `beside_object`.

    All cells of an image where nothing tells, or where no cell has its centre on the object.

    Args:
        images: N of them.
        crop: How they are cut.
        size: (H, W) of the map.
    """
    height, width = size
    centres = [((column + 0.5) / width, (row + 0.5) / height) for row in range(height) for column in range(width)]

    def on_object(image: ImageRecord) -> list[bool]:
        beside = beside_object(image, image_size(image.path), crop, centres)
        return [True] * len(centres) if beside is None or all(beside) else [not outside for outside in beside]

    return torch.tensor(for_each(images, on_object)).view(len(images), height, width)


def projection_cells(
    config: RunConfig, images: Sequence[ImageRecord], crop: Crop
) -> Callable[[list[int], tuple[int, int]], Tensor] | None:
    """Which cells of training images prototypes may be taken from: indices of images and the size of a map -> bool
    [B,H,W].  None where all are allowed, by `training.project_on_object`.
    """
    if not config.training.project_on_object:
        return None
    return lambda indices, size: cells_on_object([images[index] for index in indices], crop, size)
