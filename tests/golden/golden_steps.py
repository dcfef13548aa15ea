"""One optimizer step of the library's own training loop on a given batch."""

from __future__ import annotations

from collections.abc import Mapping

from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import Optimizer

from protoexplain.models.base import PrototypeModel
from protoexplain.training.engine import EpochSums, StepSettings, TrainStep, train_epoch
from protoexplain.training.inputs import InputBatch


def train_step(
    model: PrototypeModel,
    optimizer: Optimizer,
    batch: tuple[Tensor, Tensor],
    weights: Mapping[str, float],
    trained: frozenset[str],
    alternating: int | None = None,
    idle_branch_updates: bool = False,
) -> float:
    """The loss before the step.

    Args:
        alternating: Number of the step from 0, where each step trains one branch in turn.
    """
    values, labels = batch
    settings = StepSettings(
        weights, trained, alternate=alternating is not None, idle_branch_updates=idle_branch_updates
    )
    sums = EpochSums(steps=alternating or 0)
    done = train_epoch(
        Fabric(accelerator="cpu", devices=1),
        TrainStep(model, "images", frozenset(weights)),
        model,
        optimizer,
        [InputBatch(values, labels, labels)],
        settings,
        sums,
        describe=str,
        after_step=lambda _: None,
    )
    return done.loss
