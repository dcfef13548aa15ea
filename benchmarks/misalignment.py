"""The attack outside boxes on a batch, against one image at a time, and against the published loop.

The published loop (cleverhans) takes one image at a time and goes back through the weights of the network as well.
Batches gain what single images waste: much on an accelerator, little on one core, where the network alone counts.
"""

from __future__ import annotations

from statistics import median

import torch
from torch import Tensor

from benchmarks.timing import Settings, compare, interleave, settings
from protoexplain.allocator import reuse_freed_memory
from protoexplain.config import parse
from protoexplain.devices import resolve_device
from protoexplain.metrics.observe.attack import Misaligned, attacked_prototypes, outside_boxes, peak_activations
from protoexplain.metrics.settings import AttackSettings
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family

TARGET = 5.0


def published_loop(
    model: PrototypeModel, images: Tensor, attacked: Tensor, free: Tensor, one: AttackSettings
) -> Tensor:
    """The images after the attack, by `backward` through the whole network."""
    deviation, done = model.backbone.std, []
    for image, chosen, mask in zip(images, attacked, free, strict=True):
        change = torch.zeros_like(image)
        for _ in range(one.steps):
            with torch.enable_grad():
                leaf = change.detach().requires_grad_()
                activations = peak_activations(model, image[None] + deviation * mask * leaf)
                activations[0, chosen].mean().backward()
            change = (change - one.step * leaf.grad.sign()).clamp(-one.limit, one.limit)
            model.zero_grad(set_to_none=True)
        done.append(image + deviation[0] * mask * change)
    return torch.stack(done)


def main(options: Settings) -> None:
    """Compare the three on a ProtoPNet of 20 classes with Lite0 at stride 16."""
    reuse_freed_memory()
    size, count, steps = (64, 4, 2) if options.quick else (160, 16, 3)
    device = resolve_device()
    torch.manual_seed(0)
    backbone = {"name": "efficientnet_lite0", "stride": 16, "weights": "none"}
    config = parse({"family": "protopnet", "model": {"backbone": backbone, "prototypes_per_class": 5}})
    model = get_family("protopnet").build(config.model, 20, None, load_weights=False).eval().to(device)
    images = torch.rand(count, 3, size, size).to(device)
    with torch.no_grad():
        attacked = attacked_prototypes(peak_activations(model, images), None)
    free = outside_boxes([], 0, size).expand(count, -1, -1).to(device)
    one, start = AttackSettings(steps=steps), torch.zeros_like(images)
    attack = Misaligned(one, "cell", 0)

    def single() -> Tensor:
        rows = [slice(row, row + 1) for row in range(count)]
        return torch.cat([attack.changed(model, images[i], attacked[i], free[i], start[i]) for i in rows]).cpu()

    arms = {
        "published loop": lambda: published_loop(model, images, attacked, free, one).cpu(),
        "one at a time": single,
        "batch": lambda: attack.changed(model, images, attacked, free, start).cpu(),
    }
    with torch.no_grad():
        reached = [float((peak_activations(model, arm().to(device)) * attacked).sum()) for arm in arms.values()]
    assert max(reached) - min(reached) < 0.02 * abs(reached[0]), "all of them find the same change"
    results = interleave(arms, options.repeats)
    compare(f"{steps} steps of the attack on {count} images of {size} pixels, {device}", results, "published loop")
    batch = results["batch"]
    for name in ("published loop", "one at a time"):
        faster = median(other / own for own, other in zip(batch.wall, results[name].wall, strict=True))
        options.verdict(f"a batch is faster than {name} by", faster, TARGET, at_least=True)


if __name__ == "__main__":
    main(settings(__doc__, 3))
