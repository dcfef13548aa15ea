"""An epoch as the trainer runs it, without data set, journal and evaluation around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from lightning_fabric import Fabric

from protoexplain.fabric import make_fabric
from protoexplain.models.base import PrototypeModel
from protoexplain.models.stage import Stage
from protoexplain.training import engine
from protoexplain.training.inputs import InputBatch, Kind


def trainer_epoch(
    model: PrototypeModel,
    stage: Stage,
    kind: Kind,
    batches: Callable[[], Iterable[InputBatch]],
    fabric: Fabric | None = None,
) -> Callable[[], None]:
    """Prepare the model for a stage, by default on the CPU; each call of the result trains on all batches."""
    fabric = fabric or make_fabric("cpu")
    trained = engine.freeze(model, stage.lr)
    step = fabric.setup_module(engine.TrainStep(model, kind, frozenset(stage.losses)))
    raw_optimizer = engine.make_optimizer(model, stage, trained)
    optimizer = fabric.setup_optimizers(raw_optimizer)
    assert isinstance(optimizer, torch.optim.Optimizer)
    settings = engine.StepSettings(engine.loss_weights(stage, 1), trained, stage.alternate)
    sums = engine.EpochSums()

    def after_step(sums: engine.EpochSums) -> None:
        raw_optimizer.state_dict()

    def train() -> None:
        engine.set_training_mode(model)
        engine.train_epoch(fabric, step, model, optimizer, batches(), settings, sums, str, after_step)

    return train
