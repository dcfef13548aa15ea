"""The training patches that stand for prototypes, diagnosed as at the end of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from protoexplain.checkpoint.prototypes import PrototypeRecord, shared_patches
from protoexplain.data.loading import Crop
from protoexplain.data.records import ImageRecord
from protoexplain.regions.object_cells import cells_beside_object


@dataclass(frozen=True)
class TrainingPatches:
    """The training patch of each prototype, as the checkpoint records it.

    Args:
        records: Of the P prototypes.
        images: The training images of the data set.
        crop: How they were cut.
    """

    records: Sequence[PrototypeRecord]
    images: Sequence[ImageRecord]
    crop: Crop

    @property
    def there(self) -> Tensor:
        """bool [P]: whether a training patch stands for the prototype."""
        return torch.tensor([record.image_id is not None for record in self.records], dtype=torch.bool)

    @property
    def repeated(self) -> Tensor:
        """bool [P]: whether a prototype of the same class and branch has the same patch."""
        found = torch.zeros(len(self.records), dtype=torch.bool)
        found[[index for group in shared_patches(self.records) for index in group]] = True
        return found

    @cached_property
    def off_object(self) -> Tensor:
        """float64 [P,3]: whether the centre of the cell lies off the object, that of the cell in the middle of the
        same image, and the share of all its cells; NaN where the image is not known or the object is not known.
        """
        found = torch.full((len(self.records), 3), torch.nan, dtype=torch.float64)
        for index, beside in cells_beside_object(self.records, self.images, self.crop, _cells).items():
            own, middle, *everywhere = beside
            found[index] = torch.tensor([own, middle, sum(everywhere) / len(everywhere)])
        return found


def _cells(record: PrototypeRecord) -> list[tuple[int, int]]:
    """The prototype's own cell, that in the middle, and all."""
    everywhere = [(row, column) for row in range(record.map_height) for column in range(record.map_width)]
    return [(record.row, record.column), (record.map_height // 2, record.map_width // 2), *everywhere]
