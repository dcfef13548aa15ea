"""All stages of a run in order: fine-tuning of the backbone where wanted, then the family's own."""

from __future__ import annotations

from protoexplain.config import RunConfig
from protoexplain.models.fine_tuning import fine_tuning, part_fine_tuning
from protoexplain.models.registry import get_family
from protoexplain.models.stage import Stage


def stages_of(config: RunConfig) -> list[Stage]:
    own = get_family(config.family).stages(config.schedule)
    first = config.training.fine_tuning
    if not first.epochs:
        return own
    if first.parts:
        return [part_fine_tuning(first.epochs, first.lr, first.lr_head, first.part_weight, first.min_steps), *own]
    return [fine_tuning(first.epochs, first.lr, first.lr_head, first.min_steps), *own]
