"""All stages of a run in order: fine-tuning of the backbone where wanted, then the family's own.

Where prototypes are to be merged, the last projection becomes a stage of its own, which merges them first.  A schedule
that is to take more or fewer epochs keeps its stages, with their merging and projections.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from protoexplain.config import RunConfig, TrainingConfig
from protoexplain.errors import UserError
from protoexplain.models.fine_tuning import fine_tuning, part_fine_tuning
from protoexplain.models.registry import get_family
from protoexplain.models.stage import BACKBONE, COMPARING_CLASSES, Stage


def stages_of(config: RunConfig) -> list[Stage]:
    """The stages of a run.

    Raises:
        UserError: Fewer epochs are wanted than there are stages, or as `scheduled`.
    """
    stages = scheduled(config)
    return stages if config.training.epochs is None else _in_epochs(stages, config.training)


def scheduled(config: RunConfig) -> list[Stage]:
    """The stages with as many epochs as the schedule has.

    Raises:
        UserError: The backbone is trained under an object gate, nothing can tell when projections bring no gain, or
            costs compare classes that may have lost prototypes.
    """
    own = _with_merge(get_family(config.family).stages(config.schedule), config.training.merge)
    if config.model.object_gate and any(stage.epochs and BACKBONE & set(stage.lr) for stage in own):  # type: ignore[attr-defined]
        raise UserError(
            "the object gate is fitted to the features that the schedule then changes",
            "model.object_gate",
            "fine-tune the backbone before the schedule (training.fine_tuning), leave joint epochs out of the schedule,"
            " or set model.object_gate to false",
        )
    _check_stop(config)
    _check_equal_classes(own, config)
    first = config.training.fine_tuning
    if not first.epochs:
        return own
    rates, least = (first.lr, first.lr_head), (first.min_steps, first.min_images)
    if first.parts:
        return [part_fine_tuning(first.epochs, *rates, first.part_weight, *least), *own]
    return [fine_tuning(first.epochs, *rates, *least), *own]


def _check_equal_classes(stages: Sequence[Stage], config: RunConfig) -> None:
    """Whether costs that compare classes find equally many prototypes of each: unsteady ones are dropped before the
    first projection, and others merged before the last."""
    steady = config.model.start == "parts" and config.training.fine_tuning.steady > 0  # type: ignore[attr-defined]
    first = next((place for place, stage in enumerate(stages) if stage.merge or (steady and stage.project)), None)
    for stage in stages[first + 1 :] if first is not None else []:
        costs = [term for term in COMPARING_CLASSES if stage.losses.get(term)]
        if stage.epochs and costs:
            raise UserError(
                f"a class may have fewer prototypes than others when a later stage compares them ({costs[0]})",
                "training.fine_tuning.steady" if steady else "training.merge",
                "end the schedule with its first projection, or neither merge prototypes nor drop unsteady ones",
            )


def _check_stop(config: RunConfig) -> None:
    """Whether it can be told when projections bring no gain."""
    training, key = config.training, "training.projections_without_gain"
    if training.projections_without_gain is None:
        return
    if not config.data.validation:
        raise UserError("no images are held out that could tell what a projection gains", key, "set data.validation")
    if training.merge is not None:
        fix = "set one of the two to null"
        raise UserError("prototypes are merged before the last projection, which may be left out", key, fix)


def network_stages(stages: Sequence[Stage], training: TrainingConfig) -> list[int]:
    """Places of the stages whose epochs are counted: all that train, but for those of the last layer on cached
    activations, if there are others.
    """
    cached = training.cached_views > 0 and not training.published_batch_norm
    active = [place for place, stage in enumerate(stages) if stage.epochs]
    return [place for place in active if not (cached and set(stages[place].lr) == {"head"})] or active


def _in_epochs(stages: list[Stage], training: TrainingConfig) -> list[Stage]:
    """The stages of the network with so many epochs in all, in proportion; what decays does so in proportion too."""
    places, wanted = network_stages(stages, training), training.epochs or 0
    if not places:
        return stages
    if wanted < len(places):
        names = ", ".join(stages[place].name for place in places)
        raise UserError(
            f"{wanted} epochs are too few for {len(places)} stages ({names})",
            "training.epochs",
            f"give at least {len(places)}",
        )
    counts = dict(zip(places, apportioned([stages[place].epochs for place in places], wanted), strict=True))
    before: dict[str, int] = defaultdict(int)
    after: dict[str, int] = defaultdict(int)
    for place, count in counts.items():
        before[stages[place].name] += stages[place].epochs
        after[stages[place].name] += count
    return [
        stage.scaled(counts[place], after[stage.name] / before[stage.name]) if place in counts else stage
        for place, stage in enumerate(stages)
    ]


def apportioned(shares: Sequence[int], total: int) -> list[int]:
    """Whole numbers that sum up to a total, in proportion to the shares as far as that goes, none below 1.

    Args:
        shares: Positive.
        total: At least as many as there are shares.
    """
    exact = [share * total / sum(shares) for share in shares]
    counts = [max(1, int(each)) for each in exact]
    while sum(counts) < total:
        counts[max(range(len(counts)), key=lambda place: exact[place] - counts[place])] += 1
    while sum(counts) > total:
        reducible = [place for place, count in enumerate(counts) if count > 1]
        counts[max(reducible, key=lambda place: counts[place] - exact[place])] -= 1
    return counts


def _with_merge(stages: list[Stage], correlation: float | None) -> list[Stage]:
    """The last projection becomes a stage of its own, which first merges prototypes."""
    last = max((place for place, stage in enumerate(stages) if stage.project), default=None)
    if correlation is None or last is None:
        return stages
    projecting = stages[last]
    training = projecting.model_copy(update={"project": False})
    merging = projecting.model_copy(update={"epochs": 0, "merge": correlation})
    return [*stages[:last], training, merging, *stages[last + 1 :]]
