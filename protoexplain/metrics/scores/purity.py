"""Purity of the purest part of each prototype (Nauta et al. 2023, PIP-Net).

In the ten images with the highest activation of a prototype, the patch at its best cell shows the parts that lie in it;
purity is the share of these patches that show one part.  Parts that come twice (left and right eye) are one.  R
patches, P prototypes, T merged parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from pydantic import Field
from torch import Tensor

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.observe.parts import Parts, merged_sides
from protoexplain.metrics.settings import PUBLISHED_SIZE
from protoexplain.metrics.stats.averages import mean, over_prototypes
from protoexplain.metrics.stats.part_hits import CENTRE, RANDOM, averaged, curve, parts_of
from protoexplain.metrics.stats.randomness import seed_of

PUBLISHED_PATCH, _FINE_MAP = 32, 26
NO_WEIGHT = "prototypes without weight for any class"
_TOP_IMAGES = (1, 2, 5, 10, 20)
"""Of the curve."""


class PuritySettings(MetricSettings):
    """Of both purity scores."""

    top_images: int = Field(10, ge=1)
    """Images with the highest activation of a prototype."""
    least_weight: float = Field(1e-5, ge=0)
    """A prototype whose largest class weight is not above this is left out."""


@dataclass(frozen=True)
class Purity:
    """Counts of a set of patches: int64 [P,T] patches that show a part, and patches whose image shows it."""

    hits: Tensor
    visible: Tensor

    @property
    def share(self) -> Tensor:
        """float64 [P,T]; 0 for parts that no image shows."""
        return self.hits / self.visible.clamp_min(1).double()

    @property
    def purest(self) -> Tensor:
        """int64 [P] the part with the largest share; of equal ones that with more patches, then the first."""
        return self.hits.masked_fill(self.share < self.share.amax(1, keepdim=True), -1).argmax(1)

    @property
    def most_often(self) -> Tensor:
        """int64 [P] the part that most patches show; of equal ones the first."""
        return self.hits.argmax(1)

    def of(self, part: Tensor) -> Tensor:
        """float64 [P] share of one part of each prototype."""
        return self.share.gather(1, part[:, None])[:, 0]


def patch_edges(cells: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """First and last edge, in input pixels, of the patches at cells of map lines of `length` cells.

    Patches have 32 pixels of 224, and the same proportion otherwise; maps of 26 cells have a narrower rim.
    """
    patch = round(PUBLISHED_PATCH * size / PUBLISHED_SIZE)
    steps = (size - patch) / (length - 1).clamp_min(1).double()
    step = torch.where(length > 1, steps.round().long(), 0)
    last = cells == length - 1
    narrow = ((cells - 1) * step + step // 2).clamp_min(0)
    start = torch.where(length == _FINE_MAP, narrow, cells * step)
    end = torch.where(last | (start + patch >= size), size, start + patch)
    return end - patch, end


def count_parts(parts: Parts, prototypes: Tensor, images: Tensor, boxes: Tensor, count: int) -> Purity:
    """Which parts patches show.

    Args:
        parts: Of all images.
        prototypes: int64 [R].
        images: int64 [R].
        boxes: [R,4] top, bottom, left, right edge in input pixels; sides above 32 pixels of 224 are narrowed about
            their centre.
        count: Number P of prototypes.
    """
    patch = round(PUBLISHED_PATCH * parts.size / PUBLISHED_SIZE)
    edges = boxes.double().clone()
    for start, end in ((0, 1), (2, 3)):
        excess = ((edges[:, end] - edges[:, start] - patch).clamp_min(0) / 2).floor()
        edges[:, start] += excess
        edges[:, end] -= excess
    crop, spot = parts.crops[images], parts.source[images]
    scale = (crop[:, 2:] - crop[:, :2]) / parts.size
    low = crop[:, :2] + edges[:, [2, 0]] * scale
    high = crop[:, :2] + edges[:, [3, 1]] * scale
    visible = parts.visible[images]
    inside = ((spot >= low[:, None]) & (spot <= high[:, None])).all(2) & visible
    names, merged = merged_sides(parts.names)
    tables = []
    for table in (inside, visible):
        joined = torch.zeros(len(images), len(names), dtype=torch.long)
        joined.index_add_(1, torch.from_numpy(merged), table.long())
        tables.append(torch.zeros(count, len(names), dtype=torch.long).index_add_(0, prototypes, joined.clamp_max(1)))
    return Purity(*tables)


def top_images(activations: Tensor, count: int) -> Tensor:
    """int64 [count,P] the images with the highest activation [N,P] of each prototype; of equal ones the first."""
    return activations.argsort(dim=0, descending=True, stable=True)[:count]


def purity_score(observed: Observations, settings: PuritySettings, part_of: Callable[[Purity], Tensor]) -> Score:
    """Mean over prototypes of the purity of one of their parts.

    Args:
        observed: Of the model.
        settings: How many images, and which prototypes.
        part_of: Counts -> the part [P] whose share counts.
    """
    parts, size, count = parts_of(observed), observed.description.size, observed.description.num_prototypes
    height, width = observed.description.map_sizes.unbind(1)
    ranked = top_images(observed.activations, max(settings.top_images, *_TOP_IMAGES))
    cells = observed.columns["patches"]["cells"].gather(0, ranked).long()
    unused = observed.description.presence_weights.amax(0) <= settings.least_weight

    def counts(top: int, rows: Tensor, columns: Tensor) -> Purity:
        edges = (*patch_edges(rows[:top], height, size), *patch_edges(columns[:top], width, size))
        boxes, images = torch.stack(edges, 2).flatten(0, 1), ranked[:top].flatten()
        return count_parts(parts, torch.arange(count).repeat(len(rows[:top])), images, boxes, count)

    def purity(top: int, rows: Tensor, columns: Tensor) -> Tensor:
        found = counts(top, rows, columns)
        return found.of(part_of(found)).masked_fill(unused, torch.nan)

    def by_images(top: int, rows: Tensor, columns: Tensor) -> float:
        return mean(purity(top, rows, columns))

    own = (cells // width, cells % width)
    baselines = _baseline_cells(observed, ranked)
    values, found = purity(settings.top_images, *own), counts(settings.top_images, *own)
    part, names = part_of(found), merged_sides(parts.names)[0]
    known = values[~values.isnan()]
    return replace(
        over_prototypes(observed, values, {NO_WEIGHT: int(unused.sum())}),
        baselines=averaged(baselines, lambda *table: by_images(settings.top_images, *table)),
        curves=(curve("images of each prototype", _TOP_IMAGES, settings.top_images, by_images, own, baselines),),
        details={
            "parts": list(names),
            "part_of_prototype": [
                names[p] if hit[p] else None for p, hit in zip(part.tolist(), found.hits, strict=True)
            ],
            "deviation_over_prototypes": float(known.std(correction=0)) if len(known) else None,
            "purer_than_half": int((known > 0.5).sum()),
        },
    )


def _baseline_cells(observed: Observations, ranked: Tensor) -> dict[str, list[list[Tensor]]]:
    """Rows and columns of cells in the middle, and anywhere."""
    extent = observed.description.map_sizes.unbind(1)
    generator = torch.Generator().manual_seed(seed_of(observed.settings.seed, "patch", ""))
    centre = [(lengths // 2).expand_as(ranked) for lengths in extent]
    anywhere = [_anywhere(lengths, len(ranked), generator) for lengths in extent]
    return {CENTRE: [centre], RANDOM: [anywhere]}


def _anywhere(lengths: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Random cells [count,P] of map lines with the given numbers of cells [P]."""
    cells = torch.zeros(count, len(lengths), dtype=torch.long)
    for length in lengths.unique().tolist():
        drawn = torch.randint(length, cells.shape, generator=generator)
        cells = torch.where(lengths == length, drawn, cells)
    return cells


def compute(observed: Observations, settings: PuritySettings) -> Score:
    """Mean over prototypes of the largest share of best patches that show one part."""
    return purity_score(observed, settings, lambda counts: counts.purest)


METRIC = Metric(
    title="Purity",
    help="Share of a prototype's ten best patches that show one and the same part of the object, for its purest part. "
    "High is good; a part that shows once and is hit once is pure.",
    higher_is_better=True,
    passes=frozenset({"scores", "patches"}),
    needs=frozenset({"parts", "places"}),
    compute=compute,
    settings=PuritySettings,
)
