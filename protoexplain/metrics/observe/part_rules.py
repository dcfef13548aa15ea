"""The rules by which an explanation says which parts of an image matter; any attribution method is one.

``maps``: the evidence of each prototype for the class, as explanations show it, lies on the picture in proportion to
the prototype's activation map above its least cell, and so adds up to the evidence.  ``boxes``: the evidence of each
prototype that the class is measured by lies evenly in its box.  The importance of a part is the sum on its pixels; it
is named where it holds more than a share t of the sum over the whole picture.

``complete-repository``, ``ssm``, ``ssm-attribution`` and ``protosvit`` are the published rules; the first three look at
similarity, weights and the prototypes of the class alone, so that they suit families with prototypes of a class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.errors import UserError, nearest_name
from protoexplain.explanations.attribution.attribute import attribute
from protoexplain.explanations.attribution.methods import METHODS
from protoexplain.explanations.attribution.task import AttributionTask, Target
from protoexplain.explanations.forward_pass import run_forward
from protoexplain.metrics.observe.changed_images import ExplainedPicture
from protoexplain.metrics.stats.part_importance import (
    NamedItems,
    complete_repository,
    items_of_heat,
    nearest_maps,
    spread_over_boxes,
    spread_over_maps,
    summed_maps,
    summed_similarity_maps,
    without_least_active,
)
from protoexplain.metrics.stats.part_protocol import THRESHOLDS, named_items
from protoexplain.metrics.stats.randomness import seed_of
from protoexplain.regions.box_rules import boxes_of, parse_box_rule
from protoexplain.regions.measured_field import measure_fields


@dataclass(frozen=True)
class RuleSettings:
    """What rules depend on.

    Args:
        box_rule: How boxes are drawn, see `parse_box_rule`.
        published: Whether a negative total names what is not in the image, as published.
        seed: Of random numbers.
    """

    box_rule: str
    published: bool
    seed: int


PartRule = Callable[[ExplainedPicture, Tensor, RuleSettings], NamedItems]


def _of_heat(shown: ExplainedPicture, heat: Tensor, settings: RuleSettings) -> NamedItems:
    return items_of_heat(heat, shown.masks, len(shown.items), settings.published)


def _maps(shown: ExplainedPicture, classes: Tensor, settings: RuleSettings) -> NamedItems:
    heat = spread_over_maps(shown.maps, shown.evidence(classes), shown.description.size)
    return _of_heat(shown, heat, settings)


def _boxes(shown: ExplainedPicture, classes: Tensor, settings: RuleSettings) -> NamedItems:
    size, evidence = shown.description.size, shown.evidence(classes)
    rule = parse_box_rule(settings.box_rule, lambda: measure_fields(shown.model, size))
    heat = []
    for number, label in enumerate(classes.tolist()):
        own = shown.description.assigned[label]
        own = own[own >= 0]
        boxes = boxes_of(rule, [shown.maps[prototype] for prototype in own.tolist()], size)
        heat.append(spread_over_boxes(boxes, evidence[own, number : number + 1], size))
    return _of_heat(shown, torch.cat(heat), settings)


def _protosvit(shown: ExplainedPicture, classes: Tensor, settings: RuleSettings) -> NamedItems:
    sizes = {tuple(one.shape) for one in shown.maps}
    if len(sizes) > 1:
        raise UserError("the maps of this model have several sizes", "part_rules", "leave out protosvit")
    heat = nearest_maps(torch.stack(shown.maps), shown.evidence(classes), shown.description.size)
    return _of_heat(shown, heat, settings)


def _by_class(
    one_class: Callable[[Tensor, Tensor, ExplainedPicture, RuleSettings], NamedItems], without_least: bool
) -> PartRule:
    """A rule from one for the maps [p,h,w] and weights [p] of the prototypes of one class."""

    def rule(shown: ExplainedPicture, classes: Tensor, settings: RuleSettings) -> NamedItems:
        maps, found, count = torch.stack(shown.maps), [], len(shown.items)
        importance = torch.zeros(1, count, dtype=torch.float64)
        nothing = NamedItems(importance, torch.zeros(1, len(THRESHOLDS), count, dtype=torch.bool))
        counted = torch.ones(len(maps), dtype=torch.bool)
        if without_least:
            counted[:] = False
            counted[without_least_active(maps)] = True
        for label in classes.tolist():
            own = shown.description.ownership.of_class(label) & counted
            weights = shown.description.class_weights[label, own]
            found.append(one_class(maps[own], weights, shown, settings) if bool(own.any()) else nothing)
        return NamedItems(torch.cat([one.importance for one in found]), torch.cat([one.named for one in found]))

    return rule


def _attribution(method: str) -> PartRule:
    """A method of attribution to pixels, of the class score."""

    def rule(shown: ExplainedPicture, classes: Tensor, settings: RuleSettings) -> NamedItems:
        model, names = shown.model, shown.description.classes
        forward_pass = run_forward(model, shown.picture, shown.geometry, names)
        heat = []
        for label in classes.tolist():
            task = AttributionTask(
                forward_pass,
                Target("class", label),
                lambda: measure_fields(model, shown.description.size),
                seed=settings.seed,
            )
            heat.append(torch.from_numpy(attribute(task, [method], ()).maps[method].heat))
        return _of_heat(shown, torch.stack(heat), settings)

    return rule


def _random(shown: ExplainedPicture, classes: Tensor, settings: RuleSettings) -> NamedItems:
    """Uniform random importance of each item for each class."""
    rows = []
    for label in classes.tolist():
        generator = torch.Generator().manual_seed(seed_of(settings.seed, f"random parts {label}", shown.name))
        rows.append(torch.rand(len(shown.items), generator=generator, dtype=torch.float64) * shown.items)
    importance = torch.stack(rows)
    return NamedItems(importance, named_items(importance, importance.sum(1)))


def _constant(named: bool) -> PartRule:
    """All items alike, and all of them or none named."""

    def rule(shown: ExplainedPicture, classes: Tensor, settings: RuleSettings) -> NamedItems:
        alike = shown.items.double().expand(len(classes), -1)
        return NamedItems(alike, (shown.items & named).expand(len(classes), len(THRESHOLDS), -1))

    return rule


_PUBLISHED: Mapping[str, PartRule] = {
    "complete-repository": _by_class(
        lambda maps, weights, shown, settings: complete_repository(maps, weights, shown.masks, len(shown.items)), False
    ),
    "ssm": _by_class(
        lambda maps, weights, shown, settings: summed_similarity_maps(maps, weights, shown.masks, len(shown.items)),
        True,
    ),
    "ssm-attribution": _by_class(
        lambda maps, weights, shown, settings: _of_heat(
            shown, summed_maps(maps, weights, shown.description.size), settings
        ),
        True,
    ),
    "protosvit": _protosvit,
}
RANDOM, ALL, NONE = "random parts", "all parts", "no part"
BASELINES: Mapping[str, PartRule] = {RANDOM: _random, ALL: _constant(True), NONE: _constant(False)}
"""Explanations that ignore model and image."""
RULES: Mapping[str, PartRule] = {"maps": _maps, "boxes": _boxes, **_PUBLISHED}


def find_rule(name: str) -> PartRule:
    """A rule by name: one of `RULES`, a baseline, or a method of attribution that can explain a class.

    Raises:
        UserError: No such rule.
    """
    methods = [method for method, entry in METHODS.items() if "class" in entry.kinds]
    if name in methods:
        return _attribution(name)
    if name not in (known := {**RULES, **BASELINES}):
        raise UserError(f"unknown rule for parts '{name}'", "part_rules", nearest_name(name, (*RULES, *methods)))
    return known[name]
