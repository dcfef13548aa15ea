"""Images of a chunk without parts or objects: pictures, masks and class scores, each made once for all passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from protoexplain.data.augmentation import resized
from protoexplain.data.geometry import Geometry
from protoexplain.data.interventions import Interventions, PartMasks, Removal, masks_in_input
from protoexplain.data.loading import cut
from protoexplain.data.records import ImageRecord
from protoexplain.metrics.observe.model_description import ModelDescription
from protoexplain.models.base import PrototypeModel
from protoexplain.progress import ShareProgress, no_progress

_BATCH = 32


class ExplainedPicture:
    """A picture, and what rules need to explain it; what several rules need is computed once.

    Args:
        model: In eval mode.
        description: Of the model.
        picture: [3,S,S] in [0, 1], on the model's device.
        geometry: How the image became the picture.
        masks: Where its items show.
        items: bool [I] which items it has.
        name: Of the image, for random numbers.
    """

    def __init__(
        self,
        model: PrototypeModel,
        description: ModelDescription,
        picture: Tensor,
        geometry: Geometry,
        masks: PartMasks,
        items: Tensor,
        name: str,
    ) -> None:
        self.model, self.description, self.picture, self.geometry = model, description, picture, geometry
        self.masks, self.items, self.name = masks, items, name

    @cached_property
    def _features(self) -> Tensor:
        return self.model.backbone(self.picture[None])

    @cached_property
    def maps(self) -> list[Tensor]:
        """P activation maps [h,w], on the CPU."""
        return [one.cpu() for maps in self.model.activation_maps(self._features) for one in maps[0]]

    @cached_property
    def activations(self) -> Tensor:
        """[1,P], on the model's device."""
        return self.model.activations(self._features)

    def evidence(self, classes: Tensor) -> Tensor:
        """[P,k]: what each prototype adds to some classes by being found, as explanations show it."""
        return self.model.evidence(self.activations, classes).presence[0].cpu()


class ChangedImages:
    """The images of a chunk, changed.

    Args:
        model: In eval mode.
        description: Of the model.
        interventions: Where changed images come from.
        pictures: float [n,3,S,S] of the unchanged images.
        logits: [n,C] of the unchanged images.
        records: Of the images.
        geometries: How the images became pictures.
    """

    def __init__(
        self,
        model: PrototypeModel,
        description: ModelDescription,
        interventions: Interventions,
        pictures: Tensor,
        logits: Tensor,
        records: Sequence[ImageRecord],
        geometries: Sequence[Geometry],
    ) -> None:
        self.source, self._model, self._description = interventions, model, description
        self._pictures, self._records, self._geometries = pictures, records, geometries
        whole = Removal()
        self._scores: dict[tuple[int, Removal], Tensor | None] = {
            (row, whole): scores for row, scores in enumerate(logits.cpu())
        }
        self._explained: dict[tuple[int, bool], ExplainedPicture] = {}

    def scores(self, wanted: Iterable[tuple[int, Removal]], tell: ShareProgress = no_progress) -> list[Tensor | None]:
        """Class scores [C] of images by row and what is taken out, on the CPU; None for images not at hand.

        Args:
            wanted: The images.
            tell: Told which share of those that are new is done.
        """
        asked = list(wanted)
        todo = [one for one in dict.fromkeys(asked) if one not in self._scores]
        for start in range(0, len(todo), _BATCH):
            some = todo[start : start + _BATCH]
            pictures = {one: picture for one in some if (picture := self._picture(*one)) is not None}
            self._scores |= dict.fromkeys(some)
            if pictures:
                logits = self._model(torch.stack(list(pictures.values()))).logits.cpu()
                self._scores |= dict(zip(pictures, logits, strict=True))
            tell((start + len(some)) / len(todo))
        return [self._scores[one] for one in asked]

    def explained(self, row: int, hybrid: bool) -> ExplainedPicture:
        """An image, or that of its contrast, to be explained."""
        if (row, hybrid) not in self._explained:
            record, geometry = self._records[row], self._geometries[row]
            picture = self._picture(row, Removal(hybrid=True)) if hybrid else self._pictures[row]
            assert picture is not None
            masks = masks_in_input(self.source.part_map(record, hybrid), geometry)
            name = f"{record.id}/hybrid" if hybrid else record.id
            self._explained[row, hybrid] = ExplainedPicture(
                self._model, self._description, picture, geometry, masks, self.items(row), name
            )
        return self._explained[row, hybrid]

    def items(self, row: int) -> Tensor:
        """bool [I]: the parts, and the objects that the image has."""
        parts, objects = len(self.source.class_parts.names), self.source.objects(self._records[row])
        return torch.arange(parts + self.source.most_objects) < parts + objects

    def _picture(self, row: int, removal: Removal) -> Tensor | None:
        """[3,S,S] in [0, 1]."""
        rgb = self.source.image(self._records[row], removal)
        if rgb is None:
            return None
        geometry = self._geometries[row]
        pixels = torch.tensor(resized(cut(rgb, geometry), geometry.input_size).rgb)
        return pixels.permute(2, 0, 1).to(self._pictures) / 255
