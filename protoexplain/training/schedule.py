"""All stages of a run in order: fine-tuning of the backbone where wanted, then the family's own."""

from __future__ import annotations

from protoexplain.config import RunConfig
from protoexplain.models.fine_tuning import fine_tuning, part_fine_tuning
from protoexplain.models.registry import get_family
from protoexplain.models.stage import Stage


def stages_of(config: RunConfig) -> list[Stage]:
    own = _with_merge(get_family(config.family).stages(config.schedule), config.training.merge)
    first = config.training.fine_tuning
    if not first.epochs:
        return own
    if first.parts:
        return [part_fine_tuning(first.epochs, first.lr, first.lr_head, first.part_weight, first.min_steps), *own]
    return [fine_tuning(first.epochs, first.lr, first.lr_head, first.min_steps), *own]


def _with_merge(stages: list[Stage], correlation: float | None) -> list[Stage]:
    """The last projection becomes a stage of its own, which first merges prototypes."""
    last = max((place for place, stage in enumerate(stages) if stage.project), default=None)
    if correlation is None or last is None:
        return stages
    projecting = stages[last]
    training = projecting.model_copy(update={"project": False})
    merging = projecting.model_copy(update={"epochs": 0, "merge": correlation})
    return [*stages[:last], training, merging, *stages[last + 1 :]]
