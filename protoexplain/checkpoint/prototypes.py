"""What a checkpoint knows of its prototypes and its data: the file prototypes.json."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from protoexplain.errors import UserError
from protoexplain.io.manifest import first_mistake

FORMAT = 4
"""Grows when older programs can no longer read what this one writes."""

Count = Annotated[int, Field(ge=0)]
PictureName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}\.(png|jpg)$")]
Edges = tuple[float, float, float, float]
_USE_ANOTHER = "use a checkpoint as the program wrote it"
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class PrototypeRecord:
    """One prototype and the training patch that stands for it.

    Args:
        index: Number over all branches.
        branch: Its name.
        label: Its class, -1 where it is shared.
        original_index: Number in a fresh model of the same configuration; pruning and merging leave gaps.
        classes: That own it, ascending, where these are several but not all.
        projected: Whether it was written from the patch; False where the patch only illustrates it.
        image_id: Record of the training image, None where no image qualified; all below is then None or -1.
        image_sha256: Of the image's file.
        row: Cell of the patch in the map.
        column: Cell of the patch in the map.
        map_height: Cells.
        map_width: Cells.
        similarity: Of the patch to the prototype as it was before it was written.
        chosen: Whether a person chose the patch; nearer ones may then exist.
        box: x0, y0, x1, y1 of high activation, in pixels of the training image.
        input_box: The same box in the pixels of the source picture.
        source_size: (width, height) of the training image.
        patch: File of the picture of the box, or of the prototype itself where the model draws it.
        source: File of the picture that the network saw.
    """

    __pydantic_config__ = _STRICT

    index: Count
    branch: str
    label: Annotated[int, Field(ge=-1)]
    original_index: Count
    classes: tuple[Count, ...] = ()
    projected: bool = False
    image_id: str | None = None
    image_sha256: str | None = None
    row: int = -1
    column: int = -1
    map_height: int = -1
    map_width: int = -1
    similarity: float | None = None
    chosen: bool = False
    box: Edges | None = None
    input_box: Edges | None = None
    source_size: tuple[int, int] | None = None
    patch: PictureName | None = None
    source: PictureName | None = None

    @property
    def owners(self) -> tuple[int, ...] | None:
        """The classes that own it, ascending; None where all share it."""
        return self.classes or (None if self.label < 0 else (self.label,))

    def belongs_to(self, label: int) -> bool:
        """Whether a class owns it, alone or with others."""
        return self.owners is None or label in self.owners

    def with_owners(self, classes: tuple[int, ...] | None) -> PrototypeRecord:
        """The same of a prototype that belongs to other classes, ascending; None where all share it."""
        owners = classes or ()
        alone = len(owners) == 1
        return dataclasses.replace(self, label=owners[0] if alone else -1, classes=() if alone else owners)

    @property
    def fits_its_map(self) -> bool:
        """Whether the cell lies in the map, where there is one."""
        inside = 0 <= self.row < self.map_height and 0 <= self.column < self.map_width
        return inside if self.image_id is not None else self.similarity is None

    def fits_classes(self, count: int) -> bool:
        """Whether there are so many classes that it can belong to, and several are named by `classes` alone."""
        several = self.classes
        ascending = list(several) == sorted(set(several)) and max(several, default=self.label) < count
        return ascending and len(several) != 1 and (not several or self.label < 0)


@dataclass(frozen=True)
class DataInfo:
    """The data set that a model was trained on.

    Args:
        name: For people.
        source: Its layout.
        fingerprint: SHA-256 over ids, labels, splits and boxes.
        crop: ``box`` where images were cut to their boxes, else ``full``.
        train_images: Trained on.
        validation_images: Held out to choose the checkpoint.
        test_images: Looked at for reports.
    """

    __pydantic_config__ = _STRICT

    name: str
    source: str
    fingerprint: str
    crop: Literal["box", "full"]
    train_images: int
    validation_images: int
    test_images: int


@dataclass(frozen=True)
class Contents:
    """The file as a whole.

    Args:
        format: Version of the layout of checkpoints.
        written_by: Version of the program.
        command: How to make this checkpoint again.
        versions: Package -> version.
        classes: Names by label.
        data: See there.
        prototypes: By index.
    """

    __pydantic_config__ = _STRICT

    format: Annotated[int, Field(ge=1)]
    written_by: str
    command: str
    versions: Mapping[str, str]
    classes: tuple[str, ...]
    data: DataInfo
    prototypes: tuple[PrototypeRecord, ...]

    def to_json(self) -> bytes:
        return _CONTENTS.dump_json(self, indent=1)


_CONTENTS = TypeAdapter(Contents)


class _Header(BaseModel):
    """The part that every format has."""

    format: int
    written_by: str


def parse_contents(content: bytes, where: str) -> Contents:
    """Check and read prototypes.json.

    Raises:
        UserError: Another format, or not what the program writes.
    """
    try:
        header = _Header.model_validate_json(content, strict=True)
        if header.format > FORMAT:
            raise UserError(
                f"the checkpoint has format {header.format}, this program reads up to {FORMAT}",
                where,
                f"install protoexplain {header.written_by} or newer",
            )
        contents = _CONTENTS.validate_json(content, strict=True)
    except ValidationError as error:
        raise UserError(f"not a table of prototypes: {first_mistake(error)}", where, _USE_ANOTHER) from error
    for place, record in enumerate(contents.prototypes):
        if record.index != place or not record.fits_its_map or not record.fits_classes(len(contents.classes)):
            raise UserError(f"prototype {place} has a wrong number, class or cell", where, _USE_ANOTHER)
    return contents


def select(records: Sequence[PrototypeRecord], kept: Sequence[int]) -> tuple[PrototypeRecord, ...]:
    """The records of a pruned model, numbered anew; they remember their original numbers."""
    return tuple(dataclasses.replace(records[old], index=new) for new, old in enumerate(kept))


def shared_patches(records: Sequence[PrototypeRecord]) -> tuple[tuple[int, ...], ...]:
    """Groups of prototypes of the same classes and branch that lie on the same cell of the same image, by number."""
    places: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for record in records:
        if record.image_id is not None:
            places[record.branch, record.owners, record.image_id, record.row, record.column].append(record.index)
    return tuple(tuple(group) for group in places.values() if len(group) > 1)
