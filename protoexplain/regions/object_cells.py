"""Which cells of a training image lie beside the object, by its mask or its box."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.check import for_each
from protoexplain.data.loading import Crop, geometry_of
from protoexplain.data.records import ImageRecord
from protoexplain.errors import UserError
from protoexplain.io.images import load_mask


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
    if image.mask is not None:
        try:
            mask = load_mask(image.mask)
        except UserError:
            return None
        return None if mask.shape != (size[1], size[0]) else [not mask[int(y), int(x)] for x, y in places]
    if image.box is not None and crop == "full":
        return [not image.box.contains(x, y) for x, y in places]
    return None
