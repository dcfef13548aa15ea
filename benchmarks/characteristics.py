"""All six characteristics of all prototypes of one image against seven forward passes alone.

The seven pictures of the baseline are ready in memory and pass the network in one batch.  Ours starts from the cut
image: six changes, resizing, the same batch, and the scores; the smoothed picture is in the cache.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.birds import LITE0, RESNET34, ModelOnBirds, model_on_birds
from benchmarks.timing import compare, interleave, settings
from protoexplain.allocator import reuse_freed_memory
from protoexplain.data.loading import cut, geometry_of
from protoexplain.explanations.characteristics.local_scores import local_scores
from protoexplain.explanations.characteristics.variants import PUBLISHED, variants
from protoexplain.io.cache import DiskCache
from protoexplain.io.images import load_image

TARGET = 1.2


def measure(birds: ModelOnBirds, cache: DiskCache, repeats: int) -> float:
    """Prints a table; returns the ratio."""
    record, size = birds.data.train[0], birds.config.data.image_size
    loaded = load_image(record.path)
    rgb = cut(loaded.rgb, geometry_of(record, loaded.size, "box", size))
    images = variants(rgb, size, PUBLISHED, cache).float() / 255

    @torch.inference_mode()
    def forward_passes() -> object:
        return birds.model(images)

    arms: dict[str, Callable[[], object]] = {
        "seven forward passes": forward_passes,
        "pictures alone": lambda: variants(rgb, size, PUBLISHED, cache),
        "characteristics": lambda: local_scores(birds.model, rgb, size, PUBLISHED, cache),
    }
    results = interleave(arms, repeats)
    count, (height, width) = birds.model.num_prototypes, rgb.shape[:2]
    title = f"{birds.title}, {count} prototypes, image of {width} x {height} shown at {size} px"
    compare(title, results, "seven forward passes")
    return results["characteristics"].ratio(results["seven forward passes"])


def main() -> None:
    options = settings(__doc__, repeats=20)
    reuse_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        cache = DiskCache(Path(folder) / "cache")
        for backbone in (LITE0, RESNET34):
            birds = model_on_birds(Path(folder) / "birds", options.quick, backbone)
            ratio = measure(birds, cache, options.repeats)
            options.verdict(f"{birds.title}: characteristics / seven forward passes", ratio, TARGET)


if __name__ == "__main__":
    main()
