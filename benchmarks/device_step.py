"""One joint training step of a preset as published on a device, beside a step of its bare backbone.

Weights and images are random: nothing is downloaded.  A step is what the trainer does for a batch (loss terms, the
check that they are finite, backward, optimizer); the bare step is forward, backward and optimizer of the backbone.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import torch
from lightning_fabric import Fabric

from benchmarks.device_compare import FABRIC, Deviation, Told, of_forward, of_search
from benchmarks.timing import interleave, peak_mib
from benchmarks.trainer import trainer_epoch
from benchmarks.training_step import bare_step
from protoexplain.config import RunConfig, merged, parse, read_preset
from protoexplain.fabric import make_fabric
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family
from protoexplain.training.inputs import InputBatch

PRESET, CLASSES, COMPARED = "cub-protopnet-resnet34", 200, 8
WARM, ROUNDS = 3, 10
SMALL = {"batch": 2, "size": 64, "classes": 5, "warm": 1, "rounds": 1}
"""What a CPU can do in seconds."""


@dataclass
class Step:
    """A model of the preset and a batch of noise.

    Args:
        device: As `--device` names it.
        precision: Of the training.
        told: Filled by what is done.
    """

    device: str
    precision: str
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        small = SMALL if self.device == "cpu" else {}
        self.config = preset_without_weights()
        self.warm, self.rounds = small.get("warm", WARM), small.get("rounds", ROUNDS)
        count, size = (
            small.get("batch", self.config.training.batch_size),
            small.get("size", self.config.data.image_size),
        )
        classes = small.get("classes", CLASSES)
        self.batch = InputBatch(torch.rand(count, 3, size, size), torch.randint(classes, (count,)), torch.arange(count))
        self.model: PrototypeModel = get_family(self.config.family).build(self.config.model, classes)
        self.told.notes.append(f"batch {count}, {size} px, {self.model.num_prototypes} prototypes")

    @property
    def fabric(self) -> Fabric:
        return make_fabric(self.device, precision=FABRIC[self.precision])


def preset_without_weights() -> RunConfig:
    """The preset with random weights."""
    return parse(merged(read_preset(PRESET), {"model": {"backbone": {"weights": "none"}}}))


def compares(step: Step) -> list[Deviation]:
    """A forward pass and the search of patches on a few images, on the device and on the CPU."""
    images, labels = step.batch.values[:COMPARED], step.batch.labels[:COMPARED]
    deviations = of_forward(step.fabric, step.model, images, step.precision)
    found, note = of_search(make_fabric(step.device), step.model, images, labels, step.precision)
    step.told.notes.append(note)
    return [*deviations, *found]


def steps(step: Step) -> list[Deviation]:
    """Time a step of the preset and one of its backbone in turn."""
    fabric, stages = step.fabric, get_family(step.config.family).stages(step.config.schedule)
    joint = next(stage for stage in stages if stage.name == "joint")
    there = InputBatch(fabric.to_device(step.batch.values), fabric.to_device(step.batch.labels), step.batch.indices)
    arms = {
        "preset": lambda: trainer_epoch(step.model, joint, "images", lambda: [there], step.fabric),
        "bare": lambda: bare_step(step.config.model.backbone, there.values, step.fabric),
    }
    made: dict[str, Callable[[], None]] = {}
    for name, make in arms.items():
        before = torch.cuda.memory_allocated() if fabric.device.type == "cuda" else 0
        made[name] = _waiting(make(), fabric)
        for _ in range(step.warm):
            made[name]()
        step.told.figures[f"{name}: peak MiB"] = _peak(made[name], fabric, before)
    times = interleave(made, step.rounds, warm=False)
    seconds = {name: median(taken.wall) for name, taken in times.items()}
    for name, taken in seconds.items():
        step.told.figures[f"{name}: images/s"] = len(step.batch.labels) / taken
    step.told.figures["preset / bare"] = median(
        one / other for one, other in zip(times["preset"].wall, times["bare"].wall, strict=True)
    )
    finite = all(bool(tensor.isfinite().all()) for tensor in step.model.state_dict().values())
    return [Deviation("weights that are not finite", float(not finite), 0)]


def _waiting(work: Callable[[], None], fabric: Fabric) -> Callable[[], None]:
    """The work, which ends when the device has done it."""

    def done() -> None:
        work()
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()

    return done


def _peak(work: Callable[[], None], fabric: Fabric, before: int) -> float:
    """MiB at most during the work: on a GPU with its model and optimizer, beside the bytes `before` they were made; on
    a CPU what the work adds to them.
    """
    if fabric.device.type != "cuda":
        return peak_mib(work)
    gc.collect()
    torch.cuda.reset_peak_memory_stats()
    work()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


WORKS: dict[str, Callable[[Step], list[Deviation]]] = {"compare": compares, "steps": steps}
