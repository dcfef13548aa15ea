"""What each stage of a run trains."""

from __future__ import annotations

from protoexplain.config import RunConfig
from protoexplain.models.base import PrototypeModel
from protoexplain.models.parts import PartClassifier
from protoexplain.models.pooled import PooledClassifier
from protoexplain.training.schedule import stages_of


def models_of(config: RunConfig, model: PrototypeModel) -> list[PrototypeModel]:
    """What each stage trains: another classifier on the model's backbone, or the model itself.

    The last entry is for what follows the last stage.
    """
    models = [model] * (len(stages_of(config)) + 1)
    first = config.training.fine_tuning
    if first.epochs and first.parts:
        models[0] = PartClassifier(model.backbone, model.classes, first.parts, first.regions)
    elif first.epochs:
        models[0] = PooledClassifier(model.backbone, model.classes)
    return models
