"""Which scores tell the truth about single prototypes?  Regions are redrawn with one attribute changed at a time.

A bird is drawn again with another hue, shape, texture, contrast or saturation of one region, all else the same.  What
that takes away from the prototypes that look at the region is the truth; a score is good if it orders prototypes as the
truth does (rank correlation), and orders them less by the other attributes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.planted_attributes import ATTRIBUTES
from benchmarks.timing import show
from protoexplain.data.augmentation import resized
from protoexplain.data.geometry import Geometry
from protoexplain.data.loading import cut
from protoexplain.data.planted import Look, image_seed, plan, render
from protoexplain.data.planted.classes import SHAPES, TEXTURES, Region
from protoexplain.data.planted.plumage import number
from protoexplain.explain.in_place import in_place
from protoexplain.explain.local_scores import activations_at_peak
from protoexplain.explain.perturbations import MODIFICATIONS, RGB
from protoexplain.io.checkpoint import Checkpoint, find_checkpoints, shipped_checkpoints
from protoexplain.models.base import PrototypeModel

REGIONS: tuple[Region, ...] = ("crown", "breast", "belly", "wing", "tail")
LEAST_PIXELS = 150
ON_REGION = 0.3
"""Least share of a peak's cell that the region must cover."""
STRONGER = {"contrast": 0.3, "saturation": 0.1, "hue": 0.3, "shape": 5.0, "texture": 10.0, "brightness": 0.45}


@dataclass(frozen=True)
class Row:
    """One prototype on one region of one image: what is lost, as shares of its activation, by way and attribute."""

    truth: dict[str, float]
    scores: dict[str, dict[str, float]]


def other_look(look: Look, region: Region, attribute: str, rng: np.random.Generator) -> Look | None:
    """The look with one attribute clearly changed; None where the region has no other shape."""
    if attribute == "hue":
        return replace(look, hue=(look.hue + 150) % 360)
    if attribute in ("saturation", "contrast"):
        return replace(look, **{attribute: 0.1 if getattr(look, attribute) > 0.5 else 0.95})
    known = TEXTURES[1:] if attribute == "texture" else SHAPES.get(region, ())
    others = [name for name in known if name != getattr(look, attribute)]
    return replace(look, **{attribute: str(rng.choice(others))}) if others else None


def ways(rgb: RGB, region: np.ndarray) -> dict[str, dict[str, tuple[RGB, ...]]]:
    """Way to explain -> attribute -> changed pictures, of which the more harmful counts."""
    everywhere = np.ones_like(region)
    return {
        "published": {name: (MODIFICATIONS[name](rgb),) for name in ATTRIBUTES},
        "published, stronger": {name: (MODIFICATIONS[name](rgb, STRONGER[name]),) for name in ATTRIBUTES},
        "one attribute, everywhere": in_place(rgb, everywhere),
        "one attribute, in place": in_place(rgb, region),
    }


@dataclass(frozen=True)
class Subject:
    """A model and the birds that it is asked about."""

    model: PrototypeModel
    size: int
    settings: dict[str, int]

    def rows(self, images: int) -> Iterator[Row]:
        birds = plan(self.settings["classes"], self.settings["seed"]).birds
        for label in range(0, len(birds), 2):
            for index in range(images):
                seed, side = image_seed(self.settings["seed"], "test", label, index), self.settings["size"]
                drawn, rng = render(birds[label], seed, side), np.random.default_rng([label, index])
                geometry = Geometry.of((side, side), drawn.box, self.size)
                for region in REGIONS:
                    shows = cut((drawn.regions == number(region)).astype(np.uint8)[..., None], geometry)[..., 0]
                    if shows.sum() < LEAST_PIXELS:
                        continue
                    redrawn = {}
                    for attribute in ATTRIBUTES:
                        look = other_look(birds[label].look(region), region, attribute, rng)
                        if look is not None:
                            picture = render(birds[label].with_look(region, look), seed, side).image
                            redrawn[attribute] = (cut(picture, geometry),)
                    yield from self._rows_of(cut(drawn.image, geometry), shows, label, redrawn)

    def _rows_of(self, rgb: RGB, shows: np.ndarray, label: int, redrawn: dict[str, tuple[RGB, ...]]) -> Iterator[Row]:
        region = cv2.dilate(np.ascontiguousarray(shows), np.ones((5, 5), np.uint8)) > 0
        tried = {"truth": redrawn, **ways(rgb, region)}
        places = [(way, name) for way, changes in tried.items() for name, versions in changes.items() for _ in versions]
        pictures = [rgb, *(one for changes in tried.values() for versions in changes.values() for one in versions)]
        stacked = torch.from_numpy(np.stack([resized(one, self.size).rgb for one in pictures])).permute(0, 3, 1, 2)
        activations, cells = activations_at_peak(self.model, stacked[None])
        shares = 1 - activations[0, 1:] / activations[0, :1].clamp_min(1e-6)
        on = self._on(shows, cells[0], stacked[:1]) & (activations[0, 0] > 0.1 * activations[0, 0].max())
        owner = self.model.prototype_class
        for prototype in (on & ((owner == label) | (owner < 0))).nonzero()[:, 0].tolist():
            lost: dict[str, dict[str, float]] = {way: {} for way in tried}
            for (way, name), share in zip(places, shares[:, prototype].tolist(), strict=True):
                lost[way][name] = max(share, lost[way].get(name, -np.inf))
            yield Row(lost.pop("truth"), lost)

    @torch.inference_mode()
    def _on(self, shows: np.ndarray, cells: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
        height, width = self.model.activation_maps(self.model.backbone(picture.float() / 255)).shape[2:]
        covered = cv2.resize(shows.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        return torch.from_numpy(covered).flatten()[cells] > ON_REGION


def agreement(rows: list[Row], way: str, attribute: str) -> tuple[float, float]:
    """Rank correlation of a score with the truth of its own attribute, and the largest with that of another."""
    told = {}
    for truth in ATTRIBUTES:
        known = [row for row in rows if truth in row.truth]
        told[truth] = float(
            spearmanr([row.scores[way][attribute] for row in known], [row.truth[truth] for row in known])[0]
        )
    return told[attribute], max(value for name, value in told.items() if name != attribute)


def named_right(rows: list[Row], way: str, least: float = 0.1) -> float:
    """Share of prototypes whose largest score is that of the attribute that truly costs most (at least `least`)."""
    clear = [row for row in rows if max(row.truth.values()) > least]
    mean = {name: np.mean([abs(row.scores[way][name]) for row in rows]) for name in ATTRIBUTES}
    right = [
        max(row.truth, key=row.truth.__getitem__) == max(row.truth, key=lambda name: row.scores[way][name] / mean[name])
        for row in clear
    ]
    return float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoints", nargs="*", type=Path, help="folders of checkpoints; the shipped ones by default")
    parser.add_argument(
        "--data", type=Path, default=Path("data/planted-birds"), help="planted birds, as they were drawn"
    )
    parser.add_argument("--images", type=int, default=3, help="test images of every second class")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for checkpoint in given.checkpoints or find_checkpoints(shipped_checkpoints()):
        loaded = Checkpoint.load(checkpoint)
        settings = json.loads((given.data / "planted.json").read_text())
        rows = list(Subject(loaded.model(), loaded.config.data.image_size, settings).rows(given.images))
        table = []
        for way in rows[0].scores:
            cells = [agreement(rows, way, name) for name in ATTRIBUTES]
            table.append((way, named_right(rows, way), *(f"{own:.2f} ({other:.2f})" for own, other in cells)))
        show(
            f"{loaded.config.family}: {len(rows)} prototypes on regions; correlation with its own truth"
            " (largest with another)",
            ("score", "named right", *ATTRIBUTES),
            table,
        )


if __name__ == "__main__":
    main()
