"""The README.md of a checkpoint: what the model is, how good it is, how to make it again; and of its measurements."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from protoexplain.checkpoint.prototypes import Contents
from protoexplain.config import RunConfig
from protoexplain.io.json_values import flat
from protoexplain.models.registry import get_family

SHOWN_CLASSES = 20
INTERPRETABILITY = "interpretability"
EDITS = "edits"
"""Rows of what a person decided on single prototypes."""


def model_card(config: RunConfig, contents: Contents, metrics: Mapping[str, Any]) -> str:
    """Markdown in which all text from outside is escaped.

    Args:
        config: That built the model.
        contents: Classes, data and prototypes.
        metrics: What the training measured; the list ``edits`` becomes a section of its own.
    """
    family = get_family(config.family)
    data, shown = contents.data, contents.classes[:SHOWN_CLASSES]
    more = f" and {len(contents.classes) - len(shown)} more" if len(contents.classes) > len(shown) else ""
    sections = [
        f"# {escaped(family.title)} on {escaped(data.name)}",
        f"An image classifier that explains itself by prototypes. Method: {escaped(family.paper)}. "
        f"Backbone: {escaped(config.model.backbone.name)}, {config.data.image_size} pixels. "  # type: ignore[attr-defined]
        f"{escaped(config.about)}",
        "## Data",
        f"{escaped(data.name)}, {len(contents.classes)} classes: {', '.join(map(escaped, shown))}{more}.",
        f"{data.train_images} training, {data.validation_images} validation and {data.test_images} test "
        f"images, {'cut to their bounding boxes' if data.crop == 'box' else 'uncut'}.",
        f"Fingerprint of the data set: {data.fingerprint}",
        "## Prototypes",
        _prototypes(contents),
        "## Results",
        *_tables({name: value for name, value in metrics.items() if name != EDITS}),
        "What was measured later lies in the folder measurements.",
        *_edits(metrics.get(EDITS)),
        "## How to make it again",
        "With the configuration in config.yaml:",
        _code(contents.command or "protoexplain train --config config.yaml"),
        _table(("package", "version"), list(contents.versions.items())),
    ]
    return "\n\n".join(section.rstrip() for section in sections if section) + "\n"


def measurements_card(metrics: Mapping[str, Any], weights_sha256: str) -> str:
    """Markdown for the folder of measurements.

    Args:
        metrics: All that is known of a checkpoint; shown is the table ``interpretability`` (name -> value, low,
            high, ...).
        weights_sha256: Of the weights that were measured.
    """
    sections = [
        "# Measurements",
        f"Of the model whose weights have the SHA-256 {weights_sha256}. Each JSON file holds one measurement with its "
        "settings; it may be copied beside the same weights elsewhere.",
        *_interpretability(metrics.get(INTERPRETABILITY)),
    ]
    return "\n\n".join(sections).rstrip() + "\n"


def without_head(card: str) -> str:
    """A card without the block of YAML between two lines of ``---`` that the Hugging Face Hub reads."""
    return re.sub(r"\A---\n.*?\n---\n+", "", card, flags=re.DOTALL)


def escaped(text: object) -> str:
    """Text that Markdown and HTML show as it is, in one line and not at its start."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"[\\`*_\[\]#!|~@$]|:(?=//)|(?<=www)\.", r"\\\g<0>", line, flags=re.IGNORECASE)


def _prototypes(contents: Contents) -> str:
    records = contents.prototypes
    projected = sum(record.projected for record in records)
    lost = sum(record.image_id is None for record in records)
    parts = [f"{len(records)} prototypes"]
    if projected:
        parts.append(f"{projected} equal a training patch")
    if len(records) - projected - lost:
        parts.append(f"{len(records) - projected - lost} are illustrated by their nearest training patch")
    if lost:
        parts.append(f"{lost} have no training image")
    return "; ".join(parts) + ". prototypes.json names image and place of each."


def _interpretability(measured: object) -> Iterator[str]:
    """Each measured metric with its interval."""
    if not isinstance(measured, Mapping) or not measured:
        return
    yield "## Interpretability"
    rows = [
        [name, *(result.get(column) for column in ("value", "low", "high"))]
        for name, result in measured.items()
        if isinstance(result, Mapping)
    ]
    yield _table(("metric", "value", "95 % from", "to"), rows)


def _edits(rows: object) -> Iterator[str]:
    """Who decided what on which prototype, and why."""
    known = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    if not known:
        return
    yield "## Edits"
    yield (
        "After training, a person decided on single prototypes. Numbers and places are those in the checkpoint that "
        "was edited, named by the SHA-256 of its weights."
    )
    columns = ("prototype", "class", "was", "do", "image", "row", "column", "reason", "note", "who", "date", "parent")
    yield _table(columns, [[row.get(column) for column in columns] for row in known])


def _tables(metrics: Mapping[str, Any]) -> Iterator[str]:
    """One table of single values, then each list: of rows as a table, of anything else as a list."""
    values = list(flat(metrics))
    yield _table(("measure", "value"), [(name, value) for name, value in values if not isinstance(value, list)])
    for name, entries in values:
        if not isinstance(entries, list) or not entries:
            continue
        yield f"### {escaped(name)}"
        if all(isinstance(entry, Mapping) for entry in entries):
            columns = list(dict.fromkeys(column for row in entries for column in row))
            yield _table(columns, [[row.get(column) for column in columns] for row in entries])
        else:
            yield "\n".join(f"- {_cell(entry)}" for entry in entries)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [
        map(escaped, columns),
        ["---"] * len(columns),
        *([_cell(value) for value in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.1f}"
    return "" if value is None else escaped(value)


def _code(text: str) -> str:
    """An indented block, which no text inside can end."""
    return "    " + " ".join(text.split())
