"""A loaded checkpoint that explains images: the model, its prototypes and their pictures together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from protoexplain.allocator import reuse_freed_memory
from protoexplain.checkpoint.checkpoint import Checkpoint, PrototypeRecord
from protoexplain.data.augmentation import resized
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.loading import cut
from protoexplain.errors import UserError, nearest_name
from protoexplain.explain.attribution.attribute import DEFAULT_NEIGHBOURHOOD, Attributions, attribute
from protoexplain.explain.attribution.question import Question, Target
from protoexplain.explain.characteristics.match_characteristics import MatchCharacteristics, match_characteristics
from protoexplain.explain.characteristics.table import Characteristics, known_characteristics
from protoexplain.explain.characteristics.variants import texture_cache
from protoexplain.explain.evidence.contrast import Contrast, contrast
from protoexplain.explain.evidence.counterfactual import Change, what_would_change
from protoexplain.explain.evidence.counting import SHAPLEY, count_evidence
from protoexplain.explain.evidence.local import Explanation, explain_reading
from protoexplain.explain.evidence.match import Match, Statement
from protoexplain.explain.evidence.occlusion_test import RANDOM_BOXES, Honesty, honesty
from protoexplain.explain.evidence.what_if import Edit
from protoexplain.explain.forward_pass import Reading, read
from protoexplain.explain.prototypes.patch_pictures import PatchPictures
from protoexplain.io.images import load_image
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family
from protoexplain.progress import Progress
from protoexplain.regions.box_rules import DEFAULT, BoxRule, Fields, parse_box_rule
from protoexplain.regions.measured_field import measure_fields

RGB = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Seen:
    """An image that the model has looked at.

    Args:
        name: Shown for it.
        rgb: Upright RGB [H,W,3].
        notices: What was done to the image when it was read.
        reading: What the model makes of it.
    """

    name: str
    rgb: RGB
    notices: tuple[str, ...]
    reading: Reading

    @property
    def picture(self) -> RGB:
        """What the model saw, [S,S,3]."""
        values = (self.reading.picture.permute(1, 2, 0) * 255).round()
        return values.to(torch.uint8).cpu().numpy()


@dataclass(frozen=True)
class ExplainedImage:
    """An explanation and the image it is about."""

    explanation: Explanation
    seen: Seen

    @property
    def rgb(self) -> RGB:
        """Upright RGB [H,W,3]."""
        return self.seen.rgb


Source = Path | BinaryIO | Seen


class Explainer:
    """Explains images with one checkpoint.

    Args:
        checkpoint: Path of a checkpoint folder, or one that was loaded.
        device: Where the model runs.
        evidence: How evidence is counted, see `count_evidence`.

    Raises:
        UserError: The checkpoint is damaged, or evidence cannot be counted in such a way.
    """

    def __init__(
        self, checkpoint: Path | Checkpoint, device: str | torch.device = "cpu", evidence: str = SHAPLEY
    ) -> None:
        reuse_freed_memory()
        self.checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint.load(checkpoint)
        self.device = torch.device(device)
        self.model: PrototypeModel = self.checkpoint.model(self.device)
        self.notices = count_evidence(self.model, evidence)
        self._pictures = PatchPictures(self.checkpoint, self.model.prototype_source.decoded)

    @property
    def title(self) -> str:
        return get_family(self.checkpoint.config.family).title

    @cached_property
    def unit(self) -> str:
        """Of the evidence: what class scores are measured in."""
        return self.model.score_unit.name

    @cached_property
    def fields(self) -> Fields:
        """The receptive fields of the cells of maps, by the size of the map."""
        return measure_fields(self.model, self.checkpoint.config.data.image_size)

    @cached_property
    def known_characteristics(self) -> Characteristics | None:
        """Global characteristics of all prototypes, None where the checkpoint does not hold them."""
        return known_characteristics(self.checkpoint.metrics, len(self.checkpoint.prototypes))

    def box_rule(self, name: str) -> BoxRule:
        """A rule for boxes, as `parse_box_rule`.

        Raises:
            UserError: No such rule.
        """
        return parse_box_rule(name, lambda: self.fields)

    def label(self, class_name: str) -> int:
        """Of a class.

        Raises:
            UserError: The model has no such class; says which was probably meant.
        """
        names = self.checkpoint.classes
        if class_name not in names:
            raise UserError(f"the model has no class '{class_name}'", "", nearest_name(class_name, names))
        return names.index(class_name)

    def see(self, image: Source, *, name: str = "", box: Box | None = None) -> Seen:
        """Look at an image, once for all questions about it.

        Args:
            image: A file, an open one, or an image seen before, which is returned as it is.
            name: Shown for it; the file's name by default.
            box: Region to look at, in source pixels; the whole image by default.

        Raises:
            UserError: The file is no image that can be read.
        """
        if isinstance(image, Seen):
            return image
        loaded, size = load_image(image), self.checkpoint.config.data.image_size
        geometry = Geometry.of(loaded.size, box, size)
        reading = self._read(cut(loaded.rgb, geometry), geometry)
        return Seen(name or (image.name if isinstance(image, Path) else "image"), loaded.rgb, loaded.notices, reading)

    def focus(self, seen: Seen, largest: int | None = None) -> Seen:
        """What the model saw of an image as an image of its own.

        Args:
            seen: The image.
            largest: Longer sides are scaled down to so many pixels, and the smaller image is looked at again.
        """
        geometry = seen.reading.geometry
        rgb = cut(seen.rgb, geometry)
        height, width = rgb.shape[:2]
        if largest is None or max(height, width) <= largest:
            whole = Geometry.of((width, height), None, geometry.input_size)
            return replace(seen, rgb=rgb, reading=replace(seen.reading, geometry=whole))
        scale = largest / max(height, width)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        small = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX))
        note = f"it was scaled down from {width} x {height} to {size[0]} x {size[1]} pixels"
        return self._look(replace(seen, rgb=small, notices=(*seen.notices, note)))

    def edited(self, seen: Seen, edit: Edit) -> Seen:
        """What the model saw of an image, edited and looked at again; slow edits are kept in the user's cache."""
        focused = self.focus(seen)
        return self._look(replace(focused, rgb=edit(focused.rgb, texture_cache())))

    def _look(self, seen: Seen) -> Seen:
        """Look anew at all of an image."""
        height, width = seen.rgb.shape[:2]
        geometry = Geometry.of((width, height), None, seen.reading.geometry.input_size)
        return replace(seen, reading=self._read(seen.rgb, geometry))

    def _read(self, rgb: RGB, geometry: Geometry) -> Reading:
        """Run the model on an image that was cut."""
        picture = as_picture(resized(rgb, geometry.input_size).rgb)
        return read(self.model, picture, geometry, self.checkpoint.classes, self.checkpoint.prototypes)

    def explain(
        self,
        image: Source,
        *,
        name: str = "",
        box: Box | None = None,
        labels: Sequence[int] | None = None,
        top_classes: int = 3,
        rows: int = 10,
        box_rule: BoxRule = DEFAULT,
    ) -> ExplainedImage:
        """Explain one image.

        Args:
            image: As for `see`, like the next two.
            name: See there.
            box: See there.
            labels: Classes to explain; the best ones by default.
            top_classes: How many, where `labels` is None.
            rows: Prototypes per list.
            box_rule: How boxes are drawn, in the image and in the training pictures of its prototypes.

        Raises:
            UserError: The file is no image that can be read, or no class of such a label.
        """
        seen = self.see(image, name=name, box=box)
        explanation = explain_reading(
            self._marked(seen.reading, box_rule),
            image=seen.name,
            labels=labels,
            top_classes=top_classes,
            rows=rows,
            notices=(*seen.notices, *self.notices),
            box_rule=box_rule,
        )
        return ExplainedImage(explanation, seen)

    def with_characteristics(self, result: ExplainedImage) -> ExplainedImage:
        """The same, each match with what it rests on."""
        told = self.characteristics(result.seen, sorted(result.explanation.maps))
        return replace(result, explanation=result.explanation.with_characteristics(told))

    def contrast(
        self,
        seen: Seen,
        this: int | None = None,
        other: int | None = None,
        rows: int = 10,
        box_rule: BoxRule = DEFAULT,
    ) -> Contrast:
        """Why `this` class (the best one by default) and not the `other` (the second best), as `contrast`."""
        return contrast(self._marked(seen.reading, box_rule), this, other, rows, box_rule)

    def what_would_change(self, seen: Seen, rival: int | None = None, box_rule: BoxRule = DEFAULT) -> Change | None:
        """The fewest prototypes without which another class, or the named one, overtakes; as `what_would_change`."""
        return what_would_change(self._marked(seen.reading, box_rule), rival, box_rule)

    def honesty(
        self, seen: Seen, matches: Sequence[Match], random_boxes: int = RANDOM_BOXES, seed: int = 0
    ) -> dict[int, Honesty]:
        """What blanking the boxes of some matches does, by prototype; as `honesty`.

        Nothing for maps of one cell, the whole picture: their matches have no place that could be judged.
        """
        placed = [match for match in matches if seen.reading.maps[match.prototype].numel() > 1]
        return honesty(seen.reading, placed, random_boxes, seed)

    def characteristics(self, seen: Seen, prototypes: Sequence[int]) -> dict[int, MatchCharacteristics]:
        """Which visible characteristics some prototypes rest on in an image; as `match_characteristics`."""
        known, size = self.known_characteristics, self.checkpoint.config.data.image_size
        calibration = None if known is None else known.calibration
        rgb = cut(seen.rgb, seen.reading.geometry)
        return match_characteristics(self.model, rgb, size, prototypes, calibration, texture_cache())

    def attribute(
        self,
        seen: Seen,
        target: Target,
        methods: Sequence[str] | None = None,
        neighbourhoods: Sequence[str] = (DEFAULT_NEIGHBOURHOOD,),
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Attributions:
        """Explain a class score or a prototype's activation by pixels, one thread at a time; as `attribute`."""
        question = Question(seen.reading, target, lambda: self.fields, seed=seed)
        return attribute(question, methods, neighbourhoods, progress=progress)

    def record(self, prototype: int) -> PrototypeRecord:
        return self.checkpoint.prototypes[prototype]

    def name(self, match: Statement) -> str:
        """Prototype number and class, for people."""
        owner = self.checkpoint.owner_name(match.prototype)
        return f"Prototype {match.prototype}{f' ({owner})' if owner else ''}"

    def _marked(self, reading: Reading, rule: BoxRule) -> Reading:
        """With the patches of the prototypes marked by the same rule as the picture."""
        return replace(reading, records=self._pictures.records(rule))

    def patch(self, prototype: int, rule: BoxRule = DEFAULT) -> RGB | None:
        """Picture of the patch, its box drawn by a rule; None where the prototype has none."""
        return self._pictures.patch(prototype, rule)

    def source(self, prototype: int, rule: BoxRule = DEFAULT) -> RGB | None:
        """The training image of the patch with its box by a rule, None where the prototype has none."""
        return self._pictures.source(prototype, rule)


def as_picture(rgb: RGB) -> torch.Tensor:
    """uint8 [H,W,3] -> float [3,H,W] in [0, 1]."""
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1).float() / 255
