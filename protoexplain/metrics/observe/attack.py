"""Change an image only where no prototype's box is, so that the prototype forgets it (Sacha et al. 2024).

Whoever believes that the box holds what a prototype looks at would not expect that it reacts.  Projected gradient
descent on the activation, L-infinity, in the units in which the backbone normalises pictures, without clipping to the
range of pixels.  The published program asks for this, but its gradient is zero, and it returns the random start:
uniform noise (``uniform``).  n images, S the side of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.data.geometry import Box
from protoexplain.metrics.observe.passes import Chunk, normalisation
from protoexplain.metrics.settings import AttackSettings
from protoexplain.metrics.stats.misalignment import displacement
from protoexplain.metrics.stats.randomness import seed_of
from protoexplain.models.base import PrototypeModel
from protoexplain.progress import ShareProgress, no_progress
from protoexplain.regions.box_rules import boxes_of, parse_box_rule
from protoexplain.regions.measured_field import measure_fields

PUBLISHED_SIZE = 224


def outside_boxes(boxes: Sequence[Box], margin: int, size: int, published: bool = False) -> Tensor:
    """bool [S,S]: the pixels that may be changed, those outside all boxes with a margin.

    Args:
        boxes: In pixels of the input.
        margin: In pixels, on each side.
        size: Side S.
        published: Whether the last row and column may be changed even inside a box, as the published program does.
    """
    free = torch.ones(size, size, dtype=torch.bool)
    last = size - 1 if published else size
    for box in boxes:
        top, left = max(int(box.y0) - margin, 0), max(int(box.x0) - margin, 0)
        free[top : min(int(box.y1) + margin, last), left : min(int(box.x1) + margin, last)] = False
    return free


def descend(
    objective: Callable[[Tensor], Tensor],
    start: Tensor,
    step: float,
    limit: float,
    steps: int,
    tell: ShareProgress = no_progress,
) -> Tensor:
    """The change [n,3,S,S] that lowers an objective most, by steps along the sign of the gradient.

    Args:
        objective: Change -> numbers [n], each of its own image alone.
        start: [n,3,S,S].
        step: Length of a step.
        limit: Largest size of a value of the change.
        steps: Number of steps.
        tell: Told which share of them is done.
    """
    change = start.detach()
    for number in range(1, steps + 1):
        with torch.enable_grad():
            leaf = change.requires_grad_()
            (gradient,) = torch.autograd.grad(objective(leaf).sum(), leaf)
        change = (change.detach() - step * gradient.sign()).clamp_(-limit, limit)
        tell(number / steps)
    return change


def peak_activations(model: PrototypeModel, images: Tensor) -> Tensor:
    """[n,P]: the largest activation of each prototype, not below 0; differentiable."""
    return model.activations(model.backbone(images)).clamp_min(0)


def attacked_prototypes(activations: Tensor, own: Tensor | None) -> Tensor:
    """bool [n,P]: the prototype that fires most, the first on ties; or all of the image's class, `own` [n,P]."""
    if own is not None:
        return own
    return torch.nn.functional.one_hot(activations.argmax(1), activations.shape[1]).bool()


def activation_maps(model: PrototypeModel, features: Tensor) -> list[list[Tensor]]:
    """For each image P activation maps [h,w], not below 0, on the CPU."""
    by_branch = [maps.clamp_min(0).cpu() for maps in model.activation_maps(features)]
    return [[one for maps in by_branch for one in maps[row]] for row in range(len(features))]


def displaced(
    before: Sequence[Sequence[Tensor]], after: Sequence[Sequence[Tensor]], target: Tensor, size: int
) -> Tensor:
    """float64 [n]: displacement of the hottest region of the target of each image."""
    pairs = [torch.stack([first[j], second[j]]) for first, second, j in zip(before, after, target, strict=True)]
    found = torch.zeros(len(pairs), dtype=torch.float64)
    for row, pair in enumerate(pairs):
        found[row] = displacement(pair[:1], pair[1:], size)[0]
    return found


@dataclass(frozen=True)
class Misaligned:
    """What an attack outside the boxes changes.

    Columns: the attacked prototype that fired most, `target` [n]; activations of all prototypes before and after [n,P];
    class scores after [n,C]; displacement of the target's hottest region [n]; share of the picture that was free [n].
    """

    settings: AttackSettings
    box_rule: str
    seed: int

    @property
    def name(self) -> str:
        return f"attack/{self.settings.kind}"

    @property
    def cost(self) -> int:
        return 2 + 3 * self.settings.steps * (self.settings.kind == "pgd")

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        model, size, images = chunk.model, chunk.description.size, chunk.images
        before = chunk.output.activations.clamp_min(0)
        own = chunk.description.measured_by(chunk.labels) if self.settings.target == "own" else None
        as_published = self.settings.kind == "uniform"
        attacked = attacked_prototypes(before.cpu(), own)
        target = before.cpu().masked_fill(~attacked, -1).argmax(1)
        rule = parse_box_rule(self.box_rule, lambda: measure_fields(model, size))
        clean = activation_maps(model, chunk.features)
        margin = round(self.settings.margin * size / PUBLISHED_SIZE)
        free = torch.stack(
            [
                outside_boxes(
                    boxes_of(rule, [maps[j] for j in chosen.nonzero()[:, 0].tolist()], size), margin, size, as_published
                )
                for maps, chosen in zip(clean, attacked, strict=True)
            ]
        )
        given = model, images, attacked, free.to(images.device), self._start(chunk)
        features = model.backbone(self.changed(*given, chunk.tell))
        output = model.from_features(features)
        return {
            "target": target,
            "before": before,
            "after": output.activations.clamp_min(0),
            "logits": output.logits,
            "displacement": displaced(clean, activation_maps(model, features), target, size),
            "free": free.flatten(1).double().mean(1),
        }

    def changed(
        self,
        model: PrototypeModel,
        images: Tensor,
        attacked: Tensor,
        free: Tensor,
        start: Tensor,
        tell: ShareProgress = no_progress,
    ) -> Tensor:
        """The images [n,3,S,S] after the attack.

        Args:
            model: In eval mode.
            images: In [0, 1].
            attacked: bool [n,P].
            free: bool [n,S,S] where pixels may change.
            start: [n,3,S,S] first change, in units of the normalised input.
            tell: Told which share of the steps is done.
        """
        unit = normalisation(model)[1].to(images) * free[:, None]
        weights = attacked.to(images) / attacked.sum(1, keepdim=True).to(images)

        def objective(change: Tensor) -> Tensor:
            return (peak_activations(model, images + unit * change) * weights).sum(1)

        one = self.settings
        change = descend(objective, start, one.step, one.limit, one.steps, tell) if one.kind == "pgd" else start
        return images + unit * change

    def _start(self, chunk: Chunk) -> Tensor:
        """Uniform noise within the limit, of each image's own."""
        rows = []
        for image in chunk.ids:
            generator = torch.Generator().manual_seed(seed_of(self.seed, "attack", image))
            rows.append(torch.rand(chunk.images.shape[1:], generator=generator))
        return (self.settings.limit * (2 * torch.stack(rows) - 1)).to(chunk.images)
