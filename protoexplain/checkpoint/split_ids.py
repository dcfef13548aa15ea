"""Which images a model was trained, chosen and tested on: the file split.json of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pydantic import ConfigDict, TypeAdapter, ValidationError

from protoexplain.errors import UserError
from protoexplain.io.manifest import first_mistake


@dataclass(frozen=True)
class SplitIds:
    """Ids of the images of each part, as their data set names them; no image is in two parts.

    Args:
        train: Trained on.
        validation: Held out of the training images to choose the checkpoint.
        test: Looked at for reports only.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @cached_property
    def part_of(self) -> dict[str, str]:
        """Id of an image -> name of its part."""
        return {id_: part for part in ("train", "validation", "test") for id_ in getattr(self, part)}

    def joined(self, other: SplitIds) -> SplitIds:
        """The images of both, of which none is in both."""
        return SplitIds(self.train + other.train, self.validation + other.validation, self.test + other.test)

    def to_json(self) -> bytes:
        return _SPLIT_IDS.dump_json(self)


_SPLIT_IDS = TypeAdapter(SplitIds)


def parse_split_ids(content: bytes, where: str) -> SplitIds:
    """Check and read split.json.

    Raises:
        UserError: It is not what the program writes, or names an image twice.
    """
    try:
        split = _SPLIT_IDS.validate_json(content, strict=True)
    except ValidationError as error:
        raise UserError(
            f"not a table of images: {first_mistake(error)}", where, "use a checkpoint as the program wrote it"
        ) from error
    if len(split.part_of) != len(split.train) + len(split.validation) + len(split.test):
        raise UserError("an image is named twice", where, "use a checkpoint as the program wrote it")
    return split
