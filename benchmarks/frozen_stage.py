"""An epoch of the stages that freeze the backbone, with cached features or activations and without.

Both arms run the trainer's epoch on the same model and images; the one-off filling of the cache is timed apart.
Without a cache the images are already decoded and in memory, but augmented anew, as in training.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from lightning_fabric import Fabric
from torch import Tensor

from benchmarks.birds import BATCH, LITE0, RESNET34, ModelOnBirds, model_on_birds
from benchmarks.timing import Settings, Times, compare, interleave, settings, timed
from benchmarks.trainer import trainer_epoch
from protoexplain.allocator import reuse_freed_memory
from protoexplain.data.orders import epoch_order
from protoexplain.models.registry import get_family
from protoexplain.models.stage import Stage
from protoexplain.training.inputs import CachedInputs, ImageInputs, Inputs, Kind, cache

TARGET = 20.0
FABRIC = Fabric(accelerator="cpu", devices=1)
STAGES: dict[str, Kind] = {"warm": "features", "last layer": "activations"}


def epoch(birds: ModelOnBirds, stage: Stage, inputs: Inputs) -> Callable[[], None]:
    order = epoch_order(len(inputs), 0, 0)
    return trainer_epoch(birds.model, stage, inputs.kind, lambda: inputs.epoch(0, order, BATCH))


def filled(birds: ModelOnBirds, kind: Kind, folder: Path, times: Times) -> CachedInputs:
    """A cache of all images, and the time that it took to fill."""
    model = birds.model.eval()

    def compute(images: Tensor) -> Tensor:
        features = model.backbone(images)
        return features if kind == "features" else model.activations(features)

    found: list[CachedInputs] = []
    timed(lambda: found.append(cache(FABRIC, kind, compute, ImageInputs(birds.dataset()), 1, BATCH, folder)), times)
    return found[0]


def main() -> None:
    options = settings(__doc__, repeats=3)
    reuse_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        for backbone in (LITE0,) if options.quick else (LITE0, RESNET34):
            birds = model_on_birds(Path(folder) / "birds", options.quick, backbone)
            for stage in get_family("protopnet").stages(birds.config.schedule):
                if stage.name in STAGES:
                    measure(birds, stage, Path(folder), options)


def measure(birds: ModelOnBirds, stage: Stage, folder: Path, options: Settings) -> None:
    kind, filling = STAGES[stage.name], Times()
    cached = filled(birds, kind, folder, filling)
    arms = {
        "without a cache": epoch(birds, stage, ImageInputs(birds.dataset("light"))),
        f"cached {kind}": epoch(birds, stage, cached),
    }
    results = interleave(arms, options.repeats)
    compare(
        f"{birds.title}, stage '{stage.name}', an epoch of {len(cached)} images;"
        f" filling the cache took {filling.cpu[0]:.1f} s CPU",
        results,
        "without a cache",
    )
    slow, fast = results.values()
    options.verdict("times faster", slow.ratio(fast), TARGET, at_least=True)


if __name__ == "__main__":
    main()
