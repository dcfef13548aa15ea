"""A loaded checkpoint that explains images: the model, its prototypes and their pictures together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch
from PIL import Image

from protoexplain.allocator import reuse_freed_memory
from protoexplain.checkpoint.checkpoint import Checkpoint, PrototypeRecord
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.loading import cut
from protoexplain.errors import UserError, nearest_name
from protoexplain.explanations.characteristics.match_characteristics import MatchCharacteristics
from protoexplain.explanations.evidence.contrast import Contrast, contrast
from protoexplain.explanations.evidence.counterfactual import Counterfactual, what_would_change
from protoexplain.explanations.evidence.counting import SHAPLEY, count_evidence
from protoexplain.explanations.evidence.local import Explanation, explain_forward_pass
from protoexplain.explanations.evidence.match import Match
from protoexplain.explanations.evidence.occlusion_test import RANDOM_BOXES, BoxOcclusionTest, occlusion_test
from protoexplain.explanations.forward_pass import ForwardPass, run_forward_batch
from protoexplain.explanations.network_input import RGB, NetworkInput, input_picture, read_input
from protoexplain.explanations.prototypes.patch_pictures import pictures_of
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family
from protoexplain.progress import Progress
from protoexplain.regions.box_rules import DEFAULT, BoxRule, Fields, parse_box_rule
from protoexplain.regions.measured_field import measure_fields

if TYPE_CHECKING:
    from protoexplain.explanations.attribution.attribute import Attributions
    from protoexplain.explanations.attribution.task import Target
    from protoexplain.explanations.characteristics.table import Characteristics
    from protoexplain.explanations.evidence.what_if import Edit


@dataclass(frozen=True, eq=False)
class ForwardResult:
    """An image and the result of one forward pass of the model over it.

    Args:
        name: Shown for it.
        rgb: The image, upright, uint8 [H,W,3].
        notices: What was done to the image when it was read, one sentence each.
        forward_pass: The network's input, the activation maps and the scores.
    """

    name: str
    rgb: RGB
    notices: tuple[str, ...]
    forward_pass: ForwardPass

    @property
    def picture(self) -> RGB:
        """What the model saw, [S,S,3]."""
        values = (self.forward_pass.picture.permute(1, 2, 0) * 255).round()
        return values.to(torch.uint8).cpu().numpy()


@dataclass(frozen=True)
class ExplainedImage:
    """An explanation and the image it is about."""

    explanation: Explanation
    forward: ForwardResult

    @property
    def rgb(self) -> RGB:
        """Upright RGB [H,W,3]."""
        return self.forward.rgb


Source = Path | BinaryIO | ForwardResult


class Explainer:
    """Explains images with one checkpoint.

    Args:
        checkpoint: Path of a checkpoint folder, or one that was loaded.
        device: Where the model runs.
        evidence: How evidence is counted, see `count_evidence`.

    Raises:
        UserError: The checkpoint is damaged, or evidence cannot be counted in such a way.

    Example:
        >>> import protoexplain as px
        >>> from pathlib import Path
        >>> explainer = px.Explainer(Path("checkpoints/planted-protopnet"))
        >>> forward = explainer.forward(Path("bird.jpg"))
        >>> forward.picture.shape
        (160, 160, 3)
        >>> explained = explainer.explain(forward, top_classes=2, rows=3)
        >>> [len(shown.found) for shown in explained.explanation.classes]
        [3, 3]
    """

    def __init__(
        self, checkpoint: Path | Checkpoint, device: str | torch.device = "cpu", evidence: str = SHAPLEY
    ) -> None:
        reuse_freed_memory()
        self.checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint.load(checkpoint)
        self.device = torch.device(device)
        self.model: PrototypeModel = self.checkpoint.model(self.device)
        self.notices = count_evidence(self.model, evidence)
        self.pictures = pictures_of(self.checkpoint)

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
        from protoexplain.explanations.characteristics.table import known_characteristics

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

    def forward(self, image: Source, *, name: str = "", box: Box | None = None) -> ForwardResult:
        """Run the model on an image, once for all explanations of it.

        Args:
            image: A file, an open one, or an earlier result, which is returned as it is.
            name: Shown for it; the file's name by default.
            box: The region that becomes the network's input, in pixels of the image; the whole image by default.

        Raises:
            UserError: The file is no image that can be read.
        """
        if isinstance(image, ForwardResult):
            return image
        size = self.checkpoint.config.data.image_size
        (result,) = self.forward_batch([read_input(image, size, name=name, box=box)])
        return result

    def forward_batch(self, inputs: Sequence[NetworkInput]) -> list[ForwardResult]:
        """Run the model once over several images that were read."""
        passes = run_forward_batch(
            self.model,
            torch.stack([one.picture for one in inputs]),
            [one.geometry for one in inputs],
            self.checkpoint.classes,
            self.checkpoint.prototypes,
        )
        pairs = zip(inputs, passes, strict=True)
        return [ForwardResult(one.name, one.rgb, one.notices, forward_pass) for one, forward_pass in pairs]

    def cropped(self, forward: ForwardResult, largest: int | None = None) -> ForwardResult:
        """The region of an image that became the network's input, as an image of its own.

        Args:
            forward: The image.
            largest: Longer sides are scaled down to so many pixels, and the model runs again on the smaller image.
        """
        geometry = forward.forward_pass.geometry
        rgb = cut(forward.rgb, geometry)
        height, width = rgb.shape[:2]
        if largest is None or max(height, width) <= largest:
            whole = Geometry.of((width, height), None, geometry.input_size)
            return replace(forward, rgb=rgb, forward_pass=replace(forward.forward_pass, geometry=whole))
        scale = largest / max(height, width)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        small = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX))
        note = f"it was scaled down from {width} x {height} to {size[0]} x {size[1]} pixels"
        return self._forward_whole(replace(forward, rgb=small, notices=(*forward.notices, note)))

    def edited(self, forward: ForwardResult, edit: Edit) -> ForwardResult:
        """The input region of an image after an edit, with a new forward pass; slow edits are cached on disk."""
        from protoexplain.explanations.characteristics.variants import texture_cache

        focused = self.cropped(forward)
        return self._forward_whole(replace(focused, rgb=edit(focused.rgb, texture_cache())))

    def _forward_whole(self, forward: ForwardResult) -> ForwardResult:
        """Run the model on all of an image."""
        height, width = forward.rgb.shape[:2]
        geometry = Geometry.of((width, height), None, forward.forward_pass.geometry.input_size)
        whole = NetworkInput(forward.name, forward.rgb, forward.notices, geometry, input_picture(forward.rgb, geometry))
        (result,) = self.forward_batch([whole])
        return result

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
            image: As for `forward`, like the next two.
            name: See there.
            box: See there.
            labels: Classes to explain; the best ones by default.
            top_classes: How many, where `labels` is None.
            rows: Prototypes per list.
            box_rule: How boxes are drawn, in the image and in the training pictures of its prototypes.

        Raises:
            UserError: The file is no image that can be read, or no class of such a label.
        """
        forward = self.forward(image, name=name, box=box)
        explanation = explain_forward_pass(
            self._marked(forward.forward_pass, box_rule),
            image=forward.name,
            labels=labels,
            top_classes=top_classes,
            rows=rows,
            notices=(*forward.notices, *self.notices),
            box_rule=box_rule,
        )
        return ExplainedImage(explanation, forward)

    def with_characteristics(self, result: ExplainedImage) -> ExplainedImage:
        """The same, each match with what it rests on."""
        measured = self.characteristics(result.forward, sorted(result.explanation.maps))
        return replace(result, explanation=result.explanation.with_characteristics(measured))

    def contrast(
        self,
        forward: ForwardResult,
        this: int | None = None,
        other: int | None = None,
        rows: int = 10,
        box_rule: BoxRule = DEFAULT,
    ) -> Contrast:
        """Why `this` class (the best one by default) and not the `other` (the second best), as `contrast`."""
        return contrast(self._marked(forward.forward_pass, box_rule), this, other, rows, box_rule)

    def what_would_change(
        self, forward: ForwardResult, rival: int | None = None, box_rule: BoxRule = DEFAULT
    ) -> Counterfactual | None:
        """The fewest prototypes without which another class, or the named one, overtakes; as `what_would_change`."""
        return what_would_change(self._marked(forward.forward_pass, box_rule), rival, box_rule)

    def occlusion_test(
        self,
        forward: ForwardResult,
        matches: Sequence[Match],
        random_boxes: int = RANDOM_BOXES,
        seed: int = 0,
        progress: Progress = lambda done, total: None,
    ) -> dict[int, BoxOcclusionTest]:
        """What blanking the boxes of some matches does, by prototype; as `occlusion_test`.

        Nothing for maps of one cell, the whole picture: their matches have no place that could be judged.
        """
        placed = [match for match in matches if forward.forward_pass.maps[match.prototype].numel() > 1]
        return occlusion_test(forward.forward_pass, placed, random_boxes, seed, progress)

    def characteristics(self, forward: ForwardResult, prototypes: Sequence[int]) -> dict[int, MatchCharacteristics]:
        """Which visible characteristics some prototypes rest on in an image; as `match_characteristics`."""
        from protoexplain.explanations.characteristics.one_image import match_characteristics
        from protoexplain.explanations.characteristics.variants import texture_cache

        known, size = self.known_characteristics, self.checkpoint.config.data.image_size
        calibration = None if known is None else known.calibration
        rgb = cut(forward.rgb, forward.forward_pass.geometry)
        return match_characteristics(self.model, rgb, size, prototypes, calibration, texture_cache())

    def attribute(
        self,
        forward: ForwardResult,
        target: Target,
        methods: Sequence[str] | None = None,
        neighbourhoods: Sequence[str] | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Attributions:
        """Explain a class score or a prototype's activation by pixels, one thread at a time; as `attribute`."""
        from protoexplain.explanations.attribution.attribute import DEFAULT_NEIGHBOURHOOD, attribute
        from protoexplain.explanations.attribution.task import AttributionTask

        judged = (DEFAULT_NEIGHBOURHOOD,) if neighbourhoods is None else neighbourhoods
        task = AttributionTask(forward.forward_pass, target, lambda: self.fields, seed=seed)
        return attribute(task, methods, judged, progress=progress)

    def record(self, prototype: int, rule: BoxRule = DEFAULT) -> PrototypeRecord:
        """Where a prototype comes from, the box of its training patch drawn by a rule."""
        return self.pictures.records(rule)[prototype]

    def _marked(self, forward_pass: ForwardPass, rule: BoxRule) -> ForwardPass:
        """With the patches of the prototypes marked by the same rule as the picture."""
        return replace(forward_pass, records=self.pictures.records(rule))

    def patch(self, prototype: int, rule: BoxRule = DEFAULT) -> RGB | None:
        """Picture of the patch, its box drawn by a rule; None where the prototype has none."""
        return self.pictures.patch(prototype, rule)

    def source(self, prototype: int, rule: BoxRule = DEFAULT) -> RGB | None:
        """The training image of the patch with its box by a rule, None where the prototype has none."""
        return self.pictures.source(prototype, rule)
