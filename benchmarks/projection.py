"""Projection with pictures and records against forward passes alone over the same images.

Projection is search, writing the prototypes, boxes, pictures, hashes and saving the pictures.  All arms read
the image files anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.birds import ModelOnBirds, model_on_birds
from benchmarks.timing import compare, interleave, settings
from protoexplain.training import projection
from protoexplain.training.provenance import provenance

TARGET = 1.15


@torch.inference_mode()
def forward_passes(birds: ModelOnBirds) -> None:
    for images, _, _ in birds.batches(birds.dataset()):
        birds.model(images)


def search(birds: ModelOnBirds) -> list[projection.BestPatches]:
    return projection.search(birds.model, birds.batches(birds.dataset()))


def project(birds: ModelOnBirds, thumbs: Path) -> int:
    """Everything; returns the number of different images."""
    before = [branch.prototypes.detach().clone() for _, branch in birds.model.named_branches()]
    patches = search(birds)
    projection.replace_prototypes(birds.model, patches)
    data, size = birds.data, birds.config.data.image_size
    origin = provenance(birds.model, patches, data.train, data.crop, size, projected=True)
    thumbs.mkdir(exist_ok=True)
    for name, picture in origin.pictures.items():
        (thumbs / name).write_bytes(picture)
    for old, (_, branch) in zip(before, birds.model.named_branches(), strict=True):
        branch.prototypes.data.copy_(old)
    return len({record.image_id for record in origin.records})


def main() -> None:
    options = settings(__doc__, repeats=5)
    with tempfile.TemporaryDirectory() as folder:
        birds = model_on_birds(Path(folder) / "birds", options.quick)
        arms: dict[str, Callable[[], object]] = {
            "reading alone": lambda: [None for _ in birds.batches(birds.dataset())],
            "forward passes": lambda: forward_passes(birds),
            "search": lambda: search(birds),
            "projection": lambda: project(birds, Path(folder) / "thumbs"),
        }
        different = project(birds, Path(folder) / "thumbs")
        results = interleave(arms, options.repeats)
    compare(
        f"{birds.model.num_prototypes} prototypes on {different} of {len(birds.data.train)} images",
        results,
        "forward passes",
    )
    ratio = results["projection"].ratio(results["forward passes"])
    options.verdict("projection / forward passes", ratio, TARGET)


if __name__ == "__main__":
    main()
