"""The observations of a model on the test images: a table with one row per image, by pass and column.

N images, P prototypes, K prototypes of an image's class, S the side of the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from protoexplain.data.class_parts import ClassParts
from protoexplain.metrics.observe.model_description import ModelDescription
from protoexplain.metrics.observe.parts import Parts
from protoexplain.metrics.observe.patches import TrainingPatches
from protoexplain.metrics.settings import MeasureSettings

Columns = Mapping[str, Tensor]
NO_IMAGES = "prototypes of classes without test images"
NO_CLASS = "prototypes that no class relies on"


@dataclass(frozen=True)
class Observations:
    """Everything that metrics are computed from.

    Args:
        description: Of the model.
        ids: Of the images.
        labels: int64 [N] true classes.
        columns: Pass -> column -> [N,...].
        settings: With which the passes were made.
        images: Fingerprint of the images.
        parts: Part locations, None where the data set has none.
        foreign: As `columns`, of images of other things.
        training: As `columns`, of some of the training images.
        patches: The training patches that stand for the prototypes.
        class_parts: What classes are made of, where there are images without parts.
    """

    description: ModelDescription
    ids: tuple[str, ...]
    labels: Tensor
    columns: Mapping[str, Columns]
    settings: MeasureSettings
    images: str
    parts: Parts | None = None
    foreign: Mapping[str, Columns] | None = None
    training: Mapping[str, Columns] | None = None
    patches: TrainingPatches | None = None
    class_parts: ClassParts | None = None

    def stacked(self, passes: str, column: str) -> Tensor:
        """[D,N,...]: a column of the passes ``name/...``, in their order."""
        return torch.stack([entry[column] for name, entry in self.columns.items() if name.startswith(f"{passes}/")])

    @property
    def peaks(self) -> Tensor:
        """[N,K,2] (y, x) of the prototypes of each image's class."""
        return self.columns["peaks"]["peaks"]

    @property
    def logits(self) -> Tensor:
        """[N,C]."""
        return self.columns["scores"]["logits"]

    @property
    def probabilities(self) -> Tensor:
        """[N,C]."""
        return self.columns["scores"]["probabilities"]

    @property
    def activations(self) -> Tensor:
        """[N,P]."""
        return self.columns["scores"]["activations"]

    @property
    def correct(self) -> Tensor:
        """bool [N]."""
        return self.logits.argmax(1) == self.labels

    @cached_property
    def prototypes(self) -> Tensor:
        """[N,K] the prototypes of each image's class, -1 where it has fewer."""
        return self.description.assigned[self.labels]

    @cached_property
    def images_of(self) -> Tensor:
        """[P] number of test images that each prototype is measured on."""
        return self.by_prototype(torch.ones_like(self.prototypes))

    @property
    def half_window(self) -> int:
        """In pixels."""
        return self.settings.window(self.description.size)

    def by_prototype(self, values: Tensor) -> Tensor:
        """Sums [P,...] of values [N,K,...] over the images of each prototype; whole numbers stay exact."""
        kind = torch.float64 if values.is_floating_point() else torch.long
        sums = torch.zeros(self.description.num_prototypes + 1, *values.shape[2:], dtype=kind)
        owner = self.prototypes.flatten() % len(sums)
        sums.index_add_(0, owner, values.flatten(0, 1).to(kind))
        return sums[:-1]

    def unmeasured(self, values: Tensor | None = None, reason: str = "") -> dict[str, int]:
        """Why and how many prototypes have no image that they could be measured on.

        Args:
            values: [P] of a metric; those that are NaN for prototypes with images are counted, too.
            reason: Why these are.
        """
        relied_on = torch.zeros(self.description.num_prototypes + 1, dtype=torch.bool)
        relied_on[self.description.assigned.flatten()] = True
        empty = self.images_of == 0
        counts = {NO_IMAGES: int((empty & relied_on[:-1]).sum()), NO_CLASS: int((empty & ~relied_on[:-1]).sum())}
        if values is not None:
            counts[reason] = int(values.isnan().sum()) - sum(counts.values())
        return counts

    def record(self) -> dict[str, Any]:
        """The shared settings, and which data these observations are of, as JSON values."""
        recorded = self.settings.recorded(self.images, len(self.ids), self.description.size)
        return {**recorded, "prototypes_measured_on": self.description.assignment}
