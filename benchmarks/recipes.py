"""What a preset for CUB, Cars or Dogs would take: one batch of random pictures, times the steps of its schedule.

    python -m benchmarks.recipes cub-protopnet-resnet34 --batch 8 --classes 200 --images 5994

Two passes forward and backward of the whole model with a cross-entropy, the faster one counted in CPU seconds; the
families' own losses and the optimizer cost a few per cent more.  Epochs with a frozen backbone are counted as one pass
forward for each picture, which fills the cache.  Decoding, validation and projection are left out.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from protoexplain.config import resolve
from protoexplain.models.registry import get_family

DAY = 86_400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--images", type=int, default=5994, help="Training images of the data set.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = resolve(options.preset)
    family = get_family(config.family)
    views = 2 if config.data.augmentation == "cbc" else 1
    model = family.build(config.model, options.classes, load_weights=False).train()
    size = config.data.image_size
    images = torch.rand(options.batch * views, 3, size, size)
    labels = torch.arange(len(images)) % options.classes
    before = _peak()
    step = min(_cpu_seconds(lambda: F.cross_entropy(model(images).logits, labels).backward()) for _ in range(2))
    peak = _peak()
    model.eval()
    with torch.inference_mode():
        forward = _cpu_seconds(lambda: model(images))
    stages = family.stages(config.schedule)
    epochs = sum(stage.epochs for stage in stages if "backbone" in stage.lr)
    frozen = any(stage.epochs for stage in stages if "backbone" not in stage.lr)
    shown = options.images * config.training.passes
    seconds = shown * (epochs * step + frozen * forward) / options.batch
    print(
        f"{options.preset}: {step / options.batch:.2f} CPU s an image forward and backward, "
        f"{forward / options.batch:.2f} forward; {epochs} epochs of {shown:,} pictures through the backbone: "
        f"{seconds / DAY:.1f} days of one core; "
        f"{(peak - before) / options.batch:.0f} MiB an image beside {before:.0f} MiB"
    )


def _cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
