"""The pictures of prototypes by their addresses, where the app serves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.geometry import Box
from protoexplain.errors import UserError
from protoexplain.explanations.prototypes.patch_pictures import pictures_of
from protoexplain.view.pictures import Picture, region_of
from protoexplain_app.models import mark_of

Kind = Literal["patch", "source"]


def prototype_address(checkpoint: Checkpoint, index: int, kind: Kind) -> str:
    """Where the app serves a picture of a prototype."""
    return f"prototype/{mark_of(checkpoint)}/{kind}/{index}"


def prototype_picture(checkpoint: Checkpoint, index: int, kind: Kind, alt: str = "") -> Picture | None:
    """The patch of a prototype or its training picture; None also where its folder vanished under a loaded model.

    Args:
        checkpoint: The model's.
        index: Number of the prototype.
        kind: Which of both.
        alt: What the picture shows; says by default which prototype of which class it is.
    """
    record = checkpoint.prototypes[index]
    try:
        pictures = pictures_of(checkpoint)
        size, marked = pictures.size(index, kind), pictures.records()[index]
    except UserError:
        return None
    if size is None:
        return None
    width, height = size
    address = prototype_address(checkpoint, index, kind)
    if alt:
        return Picture(address, alt, width, height)
    if kind == "patch":
        of = f" of {owner}" if (owner := checkpoint.owner_name(record.index)) else ""
        return Picture(address, f"Prototype {index}: part of a training picture{of}", width, height)
    boxes = (region_of(marked.input_box, Box(0, 0, width, height)),) if marked.input_box else ()
    return Picture(address, f"Training picture {record.image_id}, the part marked by a box", width, height, boxes)


@dataclass(frozen=True)
class ServedPictures:
    """Gives an explanation the pictures of its prototypes by address."""

    checkpoint: Checkpoint

    def patch(self, prototype: int) -> Picture | None:
        """The part that stands for a prototype."""
        return prototype_picture(self.checkpoint, prototype, "patch")

    def source(self, prototype: int) -> Picture | None:
        """The training picture with the part's box."""
        return prototype_picture(self.checkpoint, prototype, "source")
