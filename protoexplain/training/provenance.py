"""Where each prototype comes from: image, cell, boxes and pictures, so that explaining needs no training data.

Boxes are drawn by the default rule of explanations, on the activation map of the prototype, as it was before it was
written, on its image.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from protoexplain.checkpoint.prototypes import DataInfo, Edges, PrototypeRecord
from protoexplain.data.augmentation import resized
from protoexplain.data.check import for_each
from protoexplain.data.dataset_view import DatasetView
from protoexplain.data.geometry import Box
from protoexplain.data.loading import Crop, geometry_of
from protoexplain.data.records import ImageRecord
from protoexplain.io.images import load_image, sha256_of
from protoexplain.models.base import PrototypeModel
from protoexplain.progress import Progress
from protoexplain.regions.box_rules import DEFAULT
from protoexplain.training.projection import BestPatches

SOURCE_QUALITY, PATCH_QUALITY = 88, 90
_MAPS_AT_ONCE = 64


@dataclass(frozen=True)
class Provenance:
    """Where prototypes come from.

    Args:
        records: Of all prototypes in order.
        pictures: That the records name.
        maps: Activation map [H,W] of each prototype on its picture; None where there is no picture, or the map of an
            old checkpoint's prototype is unknown.
    """

    records: tuple[PrototypeRecord, ...]
    pictures: Mapping[str, bytes]
    maps: tuple[Tensor | None, ...]


def provenance(
    model: PrototypeModel,
    patches: Sequence[BestPatches],
    images: Sequence[ImageRecord],
    crop: Crop,
    size: int,
    projected: bool,
    progress: Progress | None = None,
) -> Provenance:
    """Describe all prototypes of a model and cut their pictures.

    Args:
        model: In eval mode.
        patches: One entry per branch, on the CPU; image indices refer to `images`.
        images: The training images.
        crop: How they were cut.
        size: Side S of the pictures that the network saw.
        projected: Whether the prototypes were written from the patches.
        progress: Told (done, total) in images.

    Raises:
        UserError: An image can no longer be read.
    """
    maps = _activation_maps(model, patches)
    records = _records_of(model, patches, maps, images, size, projected)
    on_image: dict[int, list[PrototypeRecord]] = defaultdict(list)
    for record, place in zip(records, torch.cat([found.image for found in patches]).tolist(), strict=True):
        if place >= 0:
            on_image[place].append(record)
    parts = for_each(sorted(on_image), lambda place: cut_out(images[place], on_image[place], crop, size), progress)
    completed = {record.index: record for records, _ in parts for record in records}
    pictures = {name: picture for _, cut_pictures in parts for name, picture in cut_pictures.items()}
    described = tuple(completed.get(record.index, record) for record in records)
    drawn = _drawn(model, described) if model.prototype_source.decoded else {}
    each = [one for branch in maps for one in branch.unbind()]
    kept = tuple(None if r.image_id is None else one for r, one in zip(described, each, strict=True))
    return Provenance(described, {**pictures, **drawn}, kept)


def data_info(data: DatasetView) -> DataInfo:
    """What a checkpoint says about its data set."""
    image_set = data.image_set
    return DataInfo(
        name=image_set.name,
        source=image_set.source,
        fingerprint=data.fingerprint,
        crop=data.crop,
        train_images=len(data.train),
        validation_images=len(data.validation),
        test_images=len(data.test),
    )


@torch.no_grad()
def _drawn(model: PrototypeModel, records: Sequence[PrototypeRecord]) -> dict[str, bytes]:
    """The prototypes as the model draws them, in place of the patches that illustrate them."""
    pictures = (model.decoded_prototypes().permute(0, 2, 3, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return {str(r.patch): _jpeg(pictures[r.index], PATCH_QUALITY) for r in records if r.patch is not None}


@torch.no_grad()
def _activation_maps(model: PrototypeModel, patches: Sequence[BestPatches]) -> list[Tensor]:
    """[P,H,W] of the prototypes of each branch, each on its image."""
    branches = zip(patches, model.named_branches(), strict=True)
    return [branch.activation_maps(found.maps) for found, (_, branch) in branches]


def _records_of(
    model: PrototypeModel,
    patches: Sequence[BestPatches],
    maps: Sequence[Tensor],
    images: Sequence[ImageRecord],
    size: int,
    projected: bool,
) -> list[PrototypeRecord]:
    """What is known before any image is opened."""
    ownership = model.ownership
    records: list[PrototypeRecord] = []
    for found, branch_maps, (name, _) in zip(patches, maps, model.named_branches(), strict=True):
        height, width = branch_maps.shape[1:]
        boxes = _boxes(branch_maps, size)
        for i, place in enumerate(found.image.tolist()):
            index = len(records)
            record = PrototypeRecord(index, name, -1, original_index=index).with_owners(ownership.owners(index))
            if place >= 0:
                record = replace(
                    record,
                    projected=projected,
                    image_id=images[place].id,
                    row=int(found.row[i]),
                    column=int(found.column[i]),
                    map_height=height,
                    map_width=width,
                    similarity=float(found.similarity[i]),
                    input_box=_edges(boxes[i]),
                    patch=f"patch-{index:05}.jpg",
                    source=f"image-{place:05}.jpg",
                )
            records.append(record)
    return records


def _boxes(maps: Tensor, size: int) -> list[Box]:
    """Boxes of maps [P,H,W], in input pixels."""
    return [box for part in maps.split(_MAPS_AT_ONCE) for box in DEFAULT(part, size)]


def cut_out(
    image: ImageRecord, records: Sequence[PrototypeRecord], crop: Crop, size: int
) -> tuple[list[PrototypeRecord], dict[str, bytes]]:
    """Complete the records of one image, and cut its picture and theirs."""
    loaded = load_image(image.path)
    geometry = geometry_of(image, loaded.size, crop, size)
    picture = resized(loaded.region(geometry.crop.as_list()), size).rgb
    sha256 = sha256_of(image.path)
    pictures = {str(records[0].source): _jpeg(picture, SOURCE_QUALITY)}
    completed = []
    for record in records:
        assert record.input_box is not None
        box = Box(*record.input_box)
        pictures[str(record.patch)] = _jpeg(_inside(picture, box), PATCH_QUALITY)
        source_box = _edges(geometry.box_to_source(box))
        completed.append(replace(record, image_sha256=sha256, box=source_box, source_size=loaded.size))
    return completed, pictures


def _inside(picture: np.ndarray, box: Box) -> np.ndarray:
    x0, y0, x1, y1 = map(int, box.as_list())
    return picture[y0:y1, x0:x1]


def _jpeg(picture: np.ndarray, quality: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def _edges(box: Box) -> Edges:
    return box.x0, box.y0, box.x1, box.y1
