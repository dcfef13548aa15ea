"""What is known of each prototype as a number: its projection, its weight, and whatever a checkpoint has measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from protoexplain.checkpoint.model_card import INTERPRETABILITY
from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.explanations.characteristics.table import METRIC as CHARACTERISTICS
from protoexplain.explanations.characteristics.table import Characteristics
from protoexplain.explanations.characteristics.words import PHRASES
from protoexplain.explanations.explainer import Explainer
from protoexplain_app.tabs.prototypes.measured_facts import sound_characteristics

SIMILARITY, WEIGHT = "similarity", "weight"
TABLES = (INTERPRETABILITY, CHARACTERISTICS)
"""Of a checkpoint's measurements, those that may say something of each prototype."""
PER_PROTOTYPE = "per_prototype"
_NO_MEASURES = ("per_image", "curves", "baselines", "settings", "twin", "by_draw")
"""Lists of results that are about something else, however long they are."""
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


def measures(
    explainer: Explainer, label: int | None = None, metrics: Mapping[str, Any] | None = None
) -> tuple[Measure, ...]:
    """All that is known.

    Args:
        explainer: The model, its records and measurements.
        label: The class that the weights are for; by default each prototype's own class, or, where all classes share
            it, the class that weighs it most.
        metrics: What was measured; by default what the checkpoint holds.
    """
    known, total = explainer.checkpoint.metrics if metrics is None else metrics, len(explainer.checkpoint.prototypes)
    found = sound_characteristics(known, total)
    tables = TABLES if found is None else TABLES[:1]
    measured = [measure for name in tables for measure in _measured(name, known.get(name), total)]
    return (
        Measure(SIMILARITY, "Similarity at projection", _similarities(explainer)),
        Measure(WEIGHT, "Class weight", _weights(explainer, label)),
        *measured,
        *(_characteristics(found) if found else ()),
    )


def _characteristics(found: Characteristics) -> Iterator[Measure]:
    """How much each characteristic matters, calibrated."""
    for place, name in enumerate(found.names):
        values = tuple(row[place] for row in found.calibrated.value)
        yield Measure(f"{CHARACTERISTICS}.{name}", f"Rests on {PHRASES.get(name, name)}", values)


def _similarities(explainer: Explainer) -> tuple[Value, ...]:
    """Of each patch to its prototype, in the unit in which similarities of pictures are shown.

    Checkpoints of older programs have no maps; their families make it of the recorded similarity alone.
    """
    checkpoint, branches = explainer.checkpoint, dict(explainer.model.named_branches())

    def shown(record: PrototypeRecord, activations: Tensor | None) -> Value:
        if record.similarity is None:
            return None
        if activations is not None:
            return float(activations[record.row, record.column])
        return float(branches[record.branch].activation(torch.tensor(record.similarity)))

    return tuple(map(shown, checkpoint.prototypes, checkpoint.prototype_maps()))


def _weights(explainer: Explainer, label: int | None) -> tuple[Value, ...]:
    weights = explainer.model.class_weights().detach()
    if label is not None:
        return tuple(weights[label].tolist())
    own = weights.masked_fill(~explainer.model.ownership.owned.T, -torch.inf)
    return tuple(own.amax(0).tolist())


def _measured(name: str, table: object, prototypes: int) -> Iterator[Measure]:
    """Lists of one number for each prototype, at any depth of a table of measurements."""
    for path, holder, values in _lists((), {}, table):
        if len(values) == prototypes and any(_number(value) is not None for value in values):
            words = [word for word in path if word not in (PER_PROTOTYPE, "details")] or [name]
            better, title = holder.get("higher_is_better"), holder.get("title")
            own = isinstance(title, str) and path[-1] == PER_PROTOTYPE
            yield Measure(
                key=f"{name}.{'.'.join(words)}"[:100],
                title=str(title) if own else _title(words),
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
            if name in _NO_MEASURES:
                continue
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
