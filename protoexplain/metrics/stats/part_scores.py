"""Scores of the FunnyBirds protocol from observations, for any rule that names parts; with intervals and baselines.

N images, P parts, T thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from protoexplain.data.class_parts import ClassParts
from protoexplain.metrics.base import Curve, Score
from protoexplain.metrics.observe.observations import Columns, Observations
from protoexplain.metrics.observe.part_rules import RANDOM
from protoexplain.metrics.stats.averages import interval_of, mean, over_images
from protoexplain.metrics.stats.bootstrap import Numbers
from protoexplain.metrics.stats.part_protocol import (
    THRESHOLDS,
    Curves,
    agreement,
    best_threshold,
    completeness_curve,
    contrast_points,
    contrasts_hold,
    controlled_check,
    distraction,
    rank_agreement,
    relevant,
)

EXPLANATIONS = "explanations"
"""In details: rule -> the score of explanations by this rule, with its interval."""


def parts_of_classes(observed: Observations) -> ClassParts:
    """What classes are made of, which the runner has made sure of."""
    assert observed.class_parts is not None
    return observed.class_parts


def named_parts(observed: Observations, rule: str) -> Columns:
    """The columns of what a rule names."""
    return observed.columns[f"parts/{rule}"]


def relevant_items(observed: Observations) -> tuple[Tensor, Tensor]:
    """bool [N,I] each: the items without which the score of the true class falls, and those that can be judged."""
    columns = observed.columns["without"]
    score = observed.logits.double().gather(1, observed.labels[:, None])[:, 0]
    return relevant(score, columns["without"]) & columns["there"], columns["there"]


def curves_of(observed: Observations, rule: str) -> Curves:
    """The four checks of completeness over images and thresholds."""
    columns, class_parts = named_parts(observed, rule), parts_of_classes(observed)
    count, published = len(class_parts.names), observed.settings.published_parts
    sets = [class_parts.minimal_sufficient_sets(label, published) for label in range(len(class_parts.variants))]
    predicted = observed.logits.argmax(1)
    needed, there = relevant_items(observed)
    controlled = controlled_check(columns["named"][:, :, :count], observed.labels, sets)
    return Curves(
        controlled.masked_fill(~observed.correct[:, None], torch.nan),
        agreement(predicted, columns["preserved"]),
        1 - agreement(predicted, columns["deleted"]),
        distraction(columns["named"], there & ~needed),
    )


def completeness(sums: Numbers) -> Numbers:
    """[R] from totals [R,8*T], at the threshold at which it is largest."""
    return np.nanmax(completeness_curve(sums), axis=1, initial=-np.inf)


def completeness_score(observed: Observations) -> Score:
    """Completeness at the best threshold, which each resample of the interval chooses anew."""
    rows = curves_of(observed, first_rule(observed)).rows()
    curve = completeness_curve(rows.sum(0)[None])
    chosen = int(best_threshold(curve)[0])
    return replace(
        pooled(observed, lambda rule: curves_of(observed, rule).rows(), completeness),
        curves=(Curve("share of the attribution", THRESHOLDS, tuple(curve[0].tolist()), THRESHOLDS[chosen]),),
        settings={"threshold": THRESHOLDS[chosen], "threshold_chosen_on": "these images"},
    )


def check_score(observed: Observations, check: Callable[[Curves], Tensor], excluded: str) -> Score:
    """The mean of one of the four checks at the threshold at which the same explanations are most complete.

    Args:
        observed: Of the model.
        check: Its values [N,T].
        excluded: Why images are left out.
    """

    def values(rule: str) -> Tensor:
        curves = curves_of(observed, rule)
        chosen = int(best_threshold(completeness_curve(curves.rows().sum(0)[None]))[0])
        return check(curves)[:, chosen]

    return averaged(observed, values, excluded, tuple(baselines_of(observed)))


def correctness_values(observed: Observations, rule: str) -> Tensor:
    """float64 [N]: how far falls of the score of the true class and importance rank the parts alike."""
    columns, without = named_parts(observed, rule), observed.columns["without"]
    count = len(parts_of_classes(observed).names)
    score = observed.logits.double().gather(1, observed.labels[:, None])
    values = rank_agreement(score - without["without"][:, :count], columns["importance"][:, :count])
    return values.masked_fill(~without["there"][:, :count].all(1), torch.nan)


def contrastivity_values(observed: Observations, rule: str) -> Tensor:
    """float64 [N]: the share of the two contrasts that hold; NaN for images whose scores do not behave as assumed."""
    columns, without = named_parts(observed, rule), observed.columns["without"]
    (first, second), (of_first, of_second) = columns["between"].unbind(1), without["contrasts"].unbind(1)
    points = contrast_points(first, second, columns["shared"])
    holds = contrasts_hold(of_first, of_second) & without["contrast_known"]
    return points.masked_fill(~holds, torch.nan)


def averaged(
    observed: Observations, values: Callable[[str], Tensor], excluded: str, baselines: tuple[str, ...] = (RANDOM,)
) -> Score:
    """The mean of values [N] of explanations by the first rule; baselines, and the other rules in the details.

    Args:
        observed: Of the model.
        values: Rule -> values [N], NaN for images that do not count.
        excluded: Why these do not.
        baselines: Rules that ignore the model.
    """
    scores = {}
    for rule in observed.settings.part_rules:
        found = values(rule)
        scores[rule] = over_images(observed, found, {excluded: int(found.isnan().sum())})
    return replace(
        scores[first_rule(observed)],
        baselines={rule: mean(values(rule)) for rule in baselines},
        details={EXPLANATIONS: {rule: _ends(score) for rule, score in scores.items()}},
    )


def pooled(observed: Observations, rows: Callable[[str], Numbers], statistic: Callable[[Numbers], Numbers]) -> Score:
    """A function of totals over images, of explanations by the first rule; baselines, and the others in the details.

    Args:
        observed: Of the model.
        rows: Rule -> [N,F] numbers of each image, to be added up.
        statistic: Totals [R,F] -> scores [R].
    """
    scores = {}
    for rule in observed.settings.part_rules:
        table = rows(rule)
        value = float(statistic(table.sum(0)[None])[0])
        scores[rule] = Score(value, *interval_of(observed, table, statistic), len(observed.ids), "images")
    return replace(
        scores[first_rule(observed)],
        baselines={rule: float(statistic(rows(rule).sum(0)[None])[0]) for rule in baselines_of(observed)},
        details={EXPLANATIONS: {rule: _ends(score) for rule, score in scores.items()}},
    )


def first_rule(observed: Observations) -> str:
    """The rule whose explanations the score is of."""
    return observed.settings.part_rules[0]


def baselines_of(observed: Observations) -> list[str]:
    """The rules that ignore the model."""
    rules = [name.removeprefix("parts/") for name in observed.columns if name.startswith("parts/")]
    return [rule for rule in rules if rule not in observed.settings.part_rules]


def sums_and_counts(values: Tensor) -> Numbers:
    """[N,2] rows of values [N], to be added up; those that are NaN do not count."""
    return torch.stack([values.nan_to_num(0), (~values.isnan()).double()], 1).numpy()


def _ends(score: Score) -> Mapping[str, Any]:
    return {"value": score.value, "low": score.low, "high": score.high}
