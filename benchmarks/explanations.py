"""Explanations against forward passes: one image explained, and all prototypes explained over a set of images.

A local explanation is everything that the app shows of three classes with ten prototypes each, with boxes and evidence.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.birds import LITE0, PER_CLASS, ModelOnBirds, model_on_birds
from benchmarks.timing import compare, interleave, settings
from protoexplain.allocator import reuse_freed_memory
from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.config import parse
from protoexplain.data.geometry import Geometry
from protoexplain.explanations.evidence.contrast import contrast
from protoexplain.explanations.evidence.counterfactual import what_would_change
from protoexplain.explanations.evidence.local import explain_forward_pass
from protoexplain.explanations.evidence.occlusion_test import occlusion_test
from protoexplain.explanations.forward_pass import run_forward
from protoexplain.explanations.prototypes.prototype import explain_prototypes
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family

FAMILIES = {
    "protopnet": {"prototypes_per_class": PER_CLASS, "feature_norm": True},
    "st_protopnet": {"prototypes_per_class": PER_CLASS // 2, "feature_norm": True},
    "cbc": {"components": 20 * PER_CLASS},
}
TARGET_LOCAL, TARGET_PASS = 2.0, 1.5


def built(family: str, classes: int) -> PrototypeModel:
    """A model with random prototypes on the embedded backbone."""
    config = parse({"family": family, "model": {"backbone": LITE0, **FAMILIES[family]}})
    torch.manual_seed(0)
    return get_family(family).build(config.model, classes).eval()


def local_arms(model: PrototypeModel, picture: torch.Tensor, names: list[str]) -> dict[str, Callable[[], object]]:
    """Works on one picture [3,S,S]."""
    geometry = Geometry.of((picture.shape[2], picture.shape[1]), None, picture.shape[1])
    forward_pass = run_forward(model, picture, geometry, names)
    found = explain_forward_pass(forward_pass).classes[0].found[:5]

    @torch.inference_mode()
    def forward() -> object:
        return model(picture[None])

    return {
        "forward pass": forward,
        "local explanation": lambda: explain_forward_pass(run_forward(model, picture, geometry, names)),
        "why A and not B, after it": lambda: contrast(forward_pass),
        "what would change it, after it": lambda: what_would_change(forward_pass),
        "19 random boxes for 5 rows": lambda: occlusion_test(forward_pass, found),
    }


def prototype_arms(birds: ModelOnBirds) -> dict[str, Callable[[], object]]:
    """Works on all training images; each arm reads the files anew."""
    model, names = birds.model, birds.data.image_set.classes
    owners = zip(model.prototype_branch(), model.ownership.labels.tolist(), strict=True)
    records = [PrototypeRecord(i, branch, label, i) for i, (branch, label) in enumerate(owners)]

    @torch.inference_mode()
    def forward() -> None:
        for images, _, _ in birds.batches(birds.dataset()):
            model(images)

    return {
        "forward passes": forward,
        "prototype explanations": lambda: explain_prototypes(model, records, names, {"train": birds.dataset()}),
    }


def main() -> None:
    options = settings(__doc__, repeats=15)
    reuse_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        birds = model_on_birds(Path(folder) / "birds", options.quick)
        picture, names = birds.dataset()[0][0][0], [str(i) for i in range(20)]
        for family in FAMILIES:
            results = interleave(local_arms(built(family, len(names)), picture, names), options.repeats)
            title = f"{family}: one image of {picture.shape[1]} px, 200 prototypes, 20 classes"
            compare(title, results, "forward pass")
            ratio = results["local explanation"].ratio(results["forward pass"])
            options.verdict("local explanation / forward pass", ratio, TARGET_LOCAL)
        results = interleave(prototype_arms(birds), max(1, options.repeats // 5))
    compare(f"{birds.model.num_prototypes} prototypes over {len(birds.data.train)} images", results, "forward passes")
    ratio = results["prototype explanations"].ratio(results["forward passes"])
    options.verdict("prototype explanations / forward passes", ratio, TARGET_PASS)


if __name__ == "__main__":
    main()
