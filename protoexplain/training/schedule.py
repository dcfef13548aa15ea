"""All stages of a run in order: fine-tuning of the backbone where wanted, then the family's own."""

from __future__ import annotations

from protoexplain.config import RunConfig
from protoexplain.models.base import PrototypeModel
from protoexplain.models.pooled import PooledClassifier, fine_tuning
from protoexplain.models.registry import get_family
from protoexplain.models.stage import Stage


def stages_of(config: RunConfig) -> list[Stage]:
    own = get_family(config.family).stages(config.schedule)
    first = config.training.fine_tuning
    return [fine_tuning(first.epochs, first.lr, first.lr_head), *own] if first.epochs else own


def models_of(config: RunConfig, model: PrototypeModel) -> list[PrototypeModel]:
    """What each stage trains: a plain classifier on the model's backbone, or the model itself.

    The last entry is for what follows the last stage.
    """
    models = [model] * (len(stages_of(config)) + 1)
    if config.training.fine_tuning.epochs:
        models[0] = PooledClassifier(model.backbone, model.classes)
    return models
