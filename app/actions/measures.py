"""What is known of each prototype as a number: its projection, its weight, and whatever a checkpoint has measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from protoexplain.explain.session import Explainer

SIMILARITY, WEIGHT = "similarity", "weight"
TABLES = ("interpretability", "characteristics")
"""Of a checkpoint's measurements, those that may say something of each prototype."""
PER_PROTOTYPE = "per_prototype"
Value = float | None


@dataclass(frozen=True)
class Measure:
    """A number of each prototype.

    Args:
        key: Names it in addresses.
        title: For people.
        values: By prototype; None where there is none.
        unit: Empty for plain numbers.
        higher_is_better: None where neither is.
    """

    key: str
    title: str
    values: tuple[Value, ...]
    unit: str = ""
    higher_is_better: bool | None = None

    def rank(self, prototype: int) -> tuple[int, int] | None:
        """Place from the highest, from 1, and how many have a value."""
        value = self.values[prototype]
        if value is None:
            return None
        known = [other for other in self.values if other is not None]
        return 1 + sum(other > value for other in known), len(known)


def measures(explainer: Explainer, label: int | None = None) -> tuple[Measure, ...]:
    """All that is known.

    Args:
        explainer: The model, its records and measurements.
        label: The class that the weights are for; by default each prototype's own class, or, where all classes share
            it, the class that weighs it most.
    """
    metrics = explainer.checkpoint.metrics
    total = len(explainer.checkpoint.prototypes)
    measured = (measure for name in TABLES for measure in _measured(name, metrics.get(name), total))
    return (
        Measure(SIMILARITY, "Similarity at projection", _similarities(explainer)),
        Measure(WEIGHT, "Class weight", _weights(explainer, label)),
        *measured,
    )


def _similarities(explainer: Explainer) -> tuple[Value, ...]:
    """Of each patch to its prototype, in the unit in which similarities of pictures are told."""
    branches = dict(explainer.model.named_branches())
    return tuple(
        None if r.similarity is None else float(branches[r.branch].activation(torch.tensor(r.similarity)))
        for r in explainer.checkpoint.prototypes
    )


def _weights(explainer: Explainer, label: int | None) -> tuple[Value, ...]:
    weights = explainer.model.class_weights().detach()
    if label is not None:
        return tuple(weights[label].tolist())
    largest = weights.amax(0).tolist()
    records = explainer.checkpoint.prototypes
    return tuple(float(weights[r.label, r.index]) if r.label >= 0 else largest[r.index] for r in records)


def _measured(name: str, table: object, prototypes: int) -> Iterator[Measure]:
    """Lists of one number for each prototype, at any depth of a table of measurements."""
    for path, holder, values in _lists((), {}, table):
        if len(values) == prototypes and any(_number(value) is not None for value in values):
            words = [word for word in path if word != PER_PROTOTYPE] or [name]
            better = holder.get("higher_is_better")
            yield Measure(
                key=f"{name}.{'.'.join(words)}"[:100],
                title=_title(words),
                values=tuple(_number(value) for value in values),
                unit=str(holder.get("unit") or ""),
                higher_is_better=better if isinstance(better, bool) else None,
            )


def _lists(
    path: tuple[str, ...], holder: Mapping[str, object], content: object
) -> Iterator[tuple[tuple[str, ...], Mapping[str, object], Sequence[object]]]:
    """(path, table that holds the list, list) of each list of numbers; rows of tables are read column by column."""
    if isinstance(content, Mapping):
        for name, entry in content.items():
            yield from _lists((*path, str(name)), content, entry)
    elif isinstance(content, list) and content and all(isinstance(row, Mapping) for row in content):
        for name in dict.fromkeys(str(column) for row in content for column in row):
            yield (*path, name), holder, [row.get(name) for row in content]
    elif isinstance(content, list):
        yield path, holder, content


def _number(value: object) -> Value:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _title(words: Sequence[str]) -> str:
    text = ", ".join(word.replace("_", " ") for word in words)
    return text[:1].upper() + text[1:]
