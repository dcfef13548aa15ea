"""Deletion and insertion: how the score of the predicted class follows the pixels that the heat map ranks first.

Petsiuk et al. 2018 (RISE), as in Wang et al. 2023.  A deleted pixel takes the mean colour of the data that the
backbone was trained on (zero after normalisation).  n images, S the side of the input, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from protoexplain.metrics.observe.passes import Chunk, normalisation, probabilities
from protoexplain.metrics.stats.randomness import seed_of
from protoexplain.models.base import PrototypeModel
from protoexplain.regions.boxes import upsample

Mode = Literal["deletion", "insertion"]
Order = Literal["heat", "random"]


def heat_ranks(heat: Tensor, size: int) -> Tensor:
    """int64 [n,S*S]: 0 for the hottest pixel of each upsampled map [n,h,w]; of equal ones the first."""
    order = upsample(heat, size, size).flatten(1).argsort(dim=1, descending=True, stable=True)
    return torch.empty_like(order).scatter_(1, order, torch.arange(size * size, device=heat.device).expand_as(order))


def area(scores: Tensor) -> Tensor:
    """Area [n] under curves [n,T+1] over the share of pixels, by trapezia."""
    return (scores.sum(1) - (scores[:, 0] + scores[:, -1]) / 2) / (scores.shape[1] - 1)


@torch.no_grad()
def masked_scores(
    model: PrototypeModel, images: Tensor, whole: Tensor, ranks: Tensor, steps: int, mode: Mode
) -> Tensor:
    """Probability [n,T+1] of the class predicted for the whole image, while pixels go or come in the order of ranks.

    Args:
        model: In eval mode.
        images: [n,3,S,S] in [0, 1].
        whole: Probabilities [n,C] of the whole images.
        ranks: int64 [n,S*S]; the first pixels go or come first.
        steps: Number T; each changes an equal share of the pixels.
        mode: ``deletion`` ends and ``insertion`` starts with a picture of the mean colour.
    """
    mean, _ = normalisation(model)
    blank = mean.expand(1, 3, *images.shape[2:]).to(images)
    predicted = whole.argmax(1)
    nothing = probabilities(model, model(blank))[0]
    counts = torch.tensor([round(ranks.shape[1] * step / steps) for step in range(1, steps)], device=images.device)
    rows = []
    for image, rank, label, score in zip(images, ranks, predicted, whole, strict=True):
        changed = (rank < counts[:, None]).view(-1, 1, *image.shape[1:])
        pictures = torch.where(changed == (mode == "insertion"), image, blank)
        middle = probabilities(model, model(pictures))[:, label] if len(counts) else score.new_zeros(0)
        ends = (score[label : label + 1], nothing[label : label + 1])
        first, last = ends if mode == "deletion" else ends[::-1]
        rows.append(torch.cat([first, middle, last]))
    return torch.stack(rows)


@dataclass(frozen=True)
class Masked:
    """Scores [n,T+1] of the predicted class while pixels go or come by the heat map, or in random order."""

    mode: Mode
    order: Order
    steps: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.mode}/{self.order}"

    @property
    def cost(self) -> int:
        return self.steps

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        size, whole = chunk.description.size, probabilities(chunk.model, chunk.output)
        ranks = heat_ranks(chunk.heat, size) if self.order == "heat" else self._random(chunk.ids, size * size)
        ranks = ranks.to(chunk.images.device)
        return {"scores": masked_scores(chunk.model, chunk.images, whole, ranks, self.steps, self.mode)}

    def _random(self, images: list[str], pixels: int) -> Tensor:
        seeds = [seed_of(self.seed, "pixel order", image) for image in images]
        return torch.stack([torch.randperm(pixels, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
