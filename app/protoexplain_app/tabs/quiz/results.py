"""The results of a quiz as files for a study: JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict

from protoexplain_app.tabs.quiz.actions import AGREEMENT, SCALE, Item, Session, score

FORMAT = 1
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets would run a cell that starts like this."""


def as_json(session: Session, finished: str) -> str:
    """Everything.

    Args:
        session: The quiz.
        finished: Date and time.
    """
    content = {
        "format": FORMAT,
        "participant": session.participant,
        "finished": finished,
        "model": session.model,
        "weights_sha256": session.weights,
        "data_fingerprint": session.data,
        **asdict(session.query),
        "items": [_item_row(session, place, item) for place, item in enumerate(session.items, 1)],
        "score": asdict(score(session)),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def as_csv(session: Session, finished: str) -> str:
    """A line for each question."""
    about = {
        "participant": session.participant,
        "finished": finished,
        "model": session.model,
        "weights_sha256": session.weights,
        "data_fingerprint": session.data,
        "task": session.query.task,
        "seed": session.query.seed,
        "feedback": int(session.query.feedback),
    }
    rows = [{**about, **_item_row(session, place, item)} for place, item in enumerate(session.items, 1)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else list(about), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return buffer.getvalue()


def _item_row(session: Session, place: int, item: Item) -> dict[str, object]:
    task, names = session.query.task, session.classes
    chosen = None
    if item.answer is not None:
        chosen = SCALE[item.answer] if task == AGREEMENT else names[item.shown[item.answer]]
    return {
        "number": place,
        "image": item.image,
        "shown": [names[label] for label in item.shown],
        "decided": names[item.decided],
        "truth": item.truth,
        "model_right": item.right,
        "answer": chosen,
        "answer_place": None if item.answer is None else item.answer + 1,
        "hit": item.hit(task),
        "seconds": item.seconds,
    }


def _cell(value: object) -> object:
    if isinstance(value, list):
        value = " | ".join(map(str, value))
    if isinstance(value, bool):
        return int(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
