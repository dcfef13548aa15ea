"""Projection with pictures and records against forward passes alone over the same images.

Projection is search, writing the prototypes, boxes, pictures, hashes and saving the pictures.  All arms read
the image files anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.birds import Subject, make_subject
from benchmarks.timing import compare, interleave, settings
from protoexplain.training import projection
from protoexplain.training.provenance import provenance

TARGET = 1.15


@torch.inference_mode()
def forward_passes(subject: Subject) -> None:
    for images, _, _ in subject.batches(subject.dataset()):
        subject.model(images)


def search(subject: Subject) -> list[projection.Patches]:
    return projection.search(subject.model, subject.batches(subject.dataset()))


def project(subject: Subject, thumbs: Path) -> int:
    """Everything; returns the number of different images."""
    before = [branch.prototypes.detach().clone() for _, branch in subject.model.named_branches()]
    patches = search(subject)
    projection.write(subject.model, patches)
    data, size = subject.data, subject.config.data.image_size
    origin = provenance(subject.model, patches, data.train, data.crop, size, projected=True)
    thumbs.mkdir(exist_ok=True)
    for name, picture in origin.pictures.items():
        (thumbs / name).write_bytes(picture)
    for old, (_, branch) in zip(before, subject.model.named_branches(), strict=True):
        branch.prototypes.data.copy_(old)
    return len({record.image_id for record in origin.records})


def main() -> None:
    options = settings(__doc__, repeats=5)
    with tempfile.TemporaryDirectory() as folder:
        subject = make_subject(Path(folder) / "birds", options.quick)
        arms: dict[str, Callable[[], object]] = {
            "reading alone": lambda: [None for _ in subject.batches(subject.dataset())],
            "forward passes": lambda: forward_passes(subject),
            "search": lambda: search(subject),
            "projection": lambda: project(subject, Path(folder) / "thumbs"),
        }
        different = project(subject, Path(folder) / "thumbs")
        results = interleave(arms, options.repeats)
    compare(
        f"{subject.model.num_prototypes} prototypes on {different} of {len(subject.data.train)} images",
        results,
        "forward passes",
    )
    ratio = results["projection"].ratio(results["forward passes"])
    options.verdict("projection / forward passes", ratio, TARGET)


if __name__ == "__main__":
    main()
