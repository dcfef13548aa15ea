"""What a pixel attribution is about: the score of a class, or the activation of a prototype, for one picture.

The model is shared between threads, so nothing is ever attached to it: Grad-CAM's hooks go to a part that belongs to
one task alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from protoexplain.explanations.forward_pass import ForwardPass
from protoexplain.models.base import PrototypeModel
from protoexplain.models.precision import exact
from protoexplain.regions.box_rules import Fields

_FEWEST_SUPERPIXELS = 4
"""SLIC makes one region of a picture of noise, and explains nothing with it."""


@dataclass(frozen=True)
class Target:
    """Whose number is explained.

    Args:
        kind: The score of a class, or the activation of a prototype.
        index: Label, or number of the prototype.
    """

    kind: Literal["class", "prototype"]
    index: int


class Score(nn.Module):
    """Pictures [B,3,S,S] -> the target's number [B]; `features` is passed by the feature maps and belongs to it."""

    def __init__(self, model: PrototypeModel, target: Target) -> None:
        super().__init__()
        self._shared, self.target, self.features = (model,), target, nn.Identity()

    def forward(self, pictures: Tensor) -> Tensor:
        (model,) = self._shared
        features = self.features(model.backbone(pictures))
        if self.target.kind == "prototype":
            return model.activations(features)[:, self.target.index]
        return model.from_features(features).logits[:, self.target.index]


@dataclass(frozen=True, eq=False)
class AttributionTask:
    """What is to be attributed to pixels: a number, the picture it is about, and how much work may go into it.

    Args:
        forward_pass: The picture.
        target: The number.
        fields: Called for the receptive fields of the cells, where they are asked for.
        segments: Superpixels that are aimed for.
        samples: Pictures that LIME, C-LIME and KernelSHAP look at.
        noise: Standard deviation of the pixel noise of SmoothGrad, in units of the pixel range [0, 1].
        noisy: Pictures that SmoothGrad averages over.
        steps: Of Integrated Gradients.
        batch: Pictures in one forward pass.
        seed: Of everything random.
    """

    forward_pass: ForwardPass
    target: Target
    fields: Callable[[], Fields]
    segments: int = 40
    samples: int = 200
    noise: float = 0.1
    noisy: int = 24
    steps: int = 32
    batch: int = 16
    seed: int = 0

    @cached_property
    def picture(self) -> Tensor:
        """[1,3,S,S] in [0, 1]."""
        return self.forward_pass.picture[None]

    @cached_property
    def baseline(self) -> Tensor:
        """[1,3,S,S], what stands for a missing part: the mean colour of the picture."""
        return self.picture.mean((2, 3), keepdim=True).expand_as(self.picture).contiguous()

    @cached_property
    def difference(self) -> Tensor:
        """[1,3,S,S], the picture minus the baseline."""
        return self.picture - self.baseline

    @cached_property
    def superpixels(self) -> Tensor:
        """[S,S] numbers 0..M-1 of regions of similar colour (SLIC, Achanta et al. 2012); else of squares."""
        from skimage.segmentation import slic

        rgb = exact(self.forward_pass.picture.permute(1, 2, 0)).numpy()
        found = slic(rgb, n_segments=self.segments, compactness=10, start_label=0)
        names, numbers = np.unique(found, return_inverse=True)
        if len(names) < _FEWEST_SUPERPIXELS:
            numbers = _squares(len(rgb), self.segments)
        return torch.from_numpy(numbers.reshape(found.shape)).to(self.picture.device)

    @property
    def parts(self) -> int:
        """Number M of superpixels."""
        return int(self.superpixels.max()) + 1

    @property
    def score(self) -> Score:
        """A new module for each use, so that hooks of one never meet another."""
        return Score(self.forward_pass.model, self.target)

    def mixed(self, presence: Tensor) -> Tensor:
        """Pictures [n,3,S,S] in which each superpixel is there by so much: [n,M], one is the picture, zero the
        baseline."""
        return self.baseline + presence.to(self.picture)[:, self.superpixels][:, None] * self.difference

    def chunks(self, presence: Tensor) -> Iterator[Tensor]:
        """`mixed`, a batch at a time."""
        for some in presence.split(self.batch):
            yield self.mixed(some)

    def by_part(self, values: Tensor) -> Tensor:
        """[M] sums of values [3,S,S] over each superpixel."""
        sums = values.new_zeros(self.parts)
        return sums.index_add_(0, self.superpixels.flatten(), values.sum(0).flatten())

    def spread(self, parts: Tensor) -> Tensor:
        """The least weights [3,S,S] of pixels that give each superpixel its effect [M] of being there."""
        difference = self.difference[0]
        energy = self.by_part(difference.square())
        per_part = torch.where(energy > 0, parts.to(energy) / energy.clamp_min(torch.finfo(energy.dtype).tiny), 0)
        return per_part[self.superpixels] * difference


def _squares(size: int, count: int) -> NDArray[np.int64]:
    """[S,S] numbers of about so many squares."""
    side = max(2, round(count**0.5))
    line = np.arange(size) * side // size
    return line[:, None] * side + line
