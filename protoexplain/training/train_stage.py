"""One stage of a training: its epochs, then what is done to the prototypes."""

from __future__ import annotations

from protoexplain.models.stage import Stage
from protoexplain.training import engine
from protoexplain.training.epochs import passes, train_epochs
from protoexplain.training.stage_inputs import input_kind, make_inputs
from protoexplain.training.trainer import Trainer


def train_stage(trainer: Trainer, stage: Stage) -> None:
    """Train what is left of a stage, go back to its best epoch, drop, merge and project, each if it says so.

    Unsteady prototypes are dropped before the first projection, unused ones before each.  `Trainer.end_stage` follows.
    """
    images, state = len(trainer.data.train), trainer.state
    stage, trained = trainer.begin(stage)
    if images < stage.min_images and state.epoch == 0:
        trainer.callbacks.watcher.line(f"with {images} training images the backbone stays as it is")
    if state.epoch < stage.epochs:
        if trained - {"head"}:
            state.patches, state.proof = [], {}
        engine.set_training_mode(trainer.model, trainer.config.training.published_batch_norm)
        kind = input_kind(trainer, stage, trained)
        shown = stage.epochs * passes(trainer, stage, images)
        inputs = make_inputs(trainer, kind, trainer.data.train, True, stage.name, shown)
        trainer.model.eval()
        validation = make_inputs(trainer, kind, trainer.data.validation, False, f"{stage.name}, validation", 1)
        train_epochs(trainer, stage, trained, inputs, validation)
    if stage.returns:
        trainer.return_to_best(stage)
    if stage.project:
        trainer.drop_unsteady()
    if stage.merge is not None and not state.merging_done:
        trainer.merge(stage.merge)
    if stage.project:
        trainer.model.prune_before_projection()
        trainer.drop_unused()
        trainer.push(stage.name)
