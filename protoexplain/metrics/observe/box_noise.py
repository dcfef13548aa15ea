"""Weak noise outside the box of each of an image's strongest prototypes, and what becomes of its map (QuanProto).

n images, k strongest prototypes of an image, of all classes, P prototypes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.metrics.observe.attack import activation_maps
from protoexplain.metrics.observe.localisation import UNDEFINED
from protoexplain.metrics.observe.passes import Chunk, normalisation
from protoexplain.metrics.stats.quanproto import (
    cell_distance,
    half_masks,
    marked,
    marked_box,
    mask_change,
    peak_change,
    percentile_masks,
    ranks_of,
    sorted_change,
)
from protoexplain.metrics.stats.randomness import seed_of
from protoexplain.regions.boxes import upsample

STRONGEST, DEVIATION = 5, 0.05
"""Prototypes of an image, and deviation of the noise in units of the normalised input (published)."""
MEASURES = ("vlc", "vac", "plc", "psc", "prc", "palc", "pac")


@dataclass(frozen=True)
class BoxNoise:
    """Columns: each of `MEASURES` [n,k], as fractions, cells or ranks; `UNDEFINED` for prototypes that an image has too
    few of, whose map is 0, or whose box is the whole picture, so that nothing lies outside. Expected distance of two
    random cells of each map [n,k].
    """

    seed: int
    name: str = "box_noise"
    cost = 1 + STRONGEST

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        model, size = chunk.model, chunk.description.size
        peaks = chunk.output.activations.clamp_min(0).cpu()
        strongest = peaks.argsort(dim=1, descending=True, stable=True)[:, :STRONGEST]
        clean = activation_maps(model, chunk.features)
        count = len(clean)
        columns = {
            name: torch.full((count, STRONGEST), UNDEFINED, dtype=torch.float64) for name in (*MEASURES, "random")
        }
        for rank in range(strongest.shape[1]):
            chosen = strongest[:, rank].tolist()
            before = [clean[row][prototype][None] for row, prototype in enumerate(chosen)]
            pixels = [marked(_saliency(cells, size)) for cells in before]
            boxes = [marked_box(one[0]) for one in pixels]
            noisy = model.backbone(chunk.images + self._noise(chunk, boxes, rank))
            maps = activation_maps(model, noisy)
            ranked = ranks_of(model.activations(noisy).clamp_min(0).cpu(), strongest[:, rank])
            for row, prototype in enumerate(chosen):
                if boxes[row] == (0, 0, size - 1, size - 1) or not bool(before[row].any()):
                    continue
                first, second = before[row], maps[row][prototype][None]
                seen = pixels[row], _saliency(second, size)
                found = {
                    "vlc": mask_change(percentile_masks(_saliency(first, size)), percentile_masks(seen[1])),
                    "vac": sorted_change(seen[0], marked(seen[1])),
                    "plc": cell_distance(first, second),
                    "psc": peak_change(first, second),
                    "prc": (ranked[row : row + 1] - rank).abs().double(),
                    "palc": mask_change(half_masks(first), half_masks(second)),
                    "pac": sorted_change(first, second),
                    "random": torch.tensor([sum((cells**2 - 1) / (3 * cells) for cells in first.shape[1:])]),
                }
                for name, value in found.items():
                    columns[name][row, rank] = value[0]
        return columns

    def _noise(self, chunk: Chunk, boxes: list[tuple[int, int, int, int]], rank: int) -> Tensor:
        """[n,3,S,S] in [0, 1], 0 within the boxes."""
        rows = []
        for image, (x0, y0, x1, y1) in zip(chunk.ids, boxes, strict=True):
            generator = torch.Generator().manual_seed(seed_of(self.seed, f"box noise {rank}", image))
            noise = DEVIATION * torch.randn(chunk.images.shape[1:], generator=generator)
            noise[:, y0 : y1 + 1, x0 : x1 + 1] = 0
            rows.append(noise)
        return torch.stack(rows).to(chunk.images) * normalisation(chunk.model)[1].to(chunk.images)


def _saliency(cells: Tensor, size: int) -> Tensor:
    """[1,S,S] of a map [1,h,w]."""
    return upsample(cells, size, size).clamp_min(0)
