"""A whole joint training step of each family against a step of the bare backbone on the same images.

The bare step is forward, mean of the features, backward and Adam over the backbone.  A family's step is what the
trainer does for one batch: loss terms, the check that they are finite, backward, optimizer, constraints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from benchmarks.timing import compare, interleave, settings
from benchmarks.trainer import trainer_epoch
from protoexplain.config import parse
from protoexplain.fabric import make_fabric
from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.backbones import Backbone
from protoexplain.models.registry import get_family
from protoexplain.training.inputs import InputBatch

FAMILIES: dict[str, dict[str, Any]] = {
    "protopnet": {"prototypes_per_class": 10},
    "st_protopnet": {"prototypes_per_class": 5},
    "cbc": {},
}
TARGET = 1.10


def bare_step(backbone: BackboneConfig, images: Tensor, fabric: Fabric | None = None) -> Callable[[], None]:
    """A step of the backbone alone, by default on the CPU."""
    fabric = fabric or make_fabric("cpu")
    model = fabric.setup_module(Backbone(backbone))
    optimizer = fabric.setup_optimizers(torch.optim.Adam(model.parameters(), lr=1e-4, fused=True))
    there = fabric.to_device(images)

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        fabric.backward(model(there).mean())
        optimizer.step()

    return step


def family_step(name: str, backbone: BackboneConfig, batch: InputBatch, classes: int) -> Callable[[], None]:
    """A step of the stage that trains backbone and prototypes; ST-ProtoPNet trains its branches in turn."""
    family = get_family(name)
    config = parse({"family": name, "model": {"backbone": backbone.model_dump(), **FAMILIES[name]}})
    model = family.build(config.model, classes)
    stage = next(stage for stage in family.stages(config.schedule) if stage.name == "joint")
    return trainer_epoch(model, stage, "images", lambda: [batch])


def main() -> None:
    options = settings(__doc__, repeats=10)
    size, count, classes = (64, 2, 10) if options.quick else (224, 8, 200)
    name = "resnet18" if options.quick else "resnet34"
    backbone = BackboneConfig(name=name, stride=32, weights="none")
    torch.manual_seed(0)
    images = torch.rand(count, 3, size, size)
    batch = InputBatch(images, torch.randint(classes, (count,)), torch.arange(count))
    arms = {"bare backbone": bare_step(backbone, images)}
    arms |= {family: family_step(family, backbone, batch, classes) for family in FAMILIES}
    results = interleave(arms, options.repeats)
    compare(f"training step: {name}, batch {count}, {size} px, {classes} classes", results, "bare backbone")
    for family in FAMILIES:
        options.verdict(f"{family} / bare backbone", results[family].ratio(results["bare backbone"]), TARGET)


if __name__ == "__main__":
    main()
