"""What a person decides about prototypes, as a file that can be replayed, and as steps that can be undone.

A file of decisions is YAML or JSON:

    format: 1
    weights_sha256: 3f0c...      # of the checkpoint that is edited; may be left out
    epochs: 20                   # of the refit; left out, at least 100
    decisions:
      - {prototype: 17, do: remove, reason: background, note: only sky, who: Ada, date: 2030-01-31}
      - {prototype: 4, do: reproject, reason: duplicate, image: images/001.Wren/3.jpg, row: 2, column: 5}
      - {prototype: 9, do: reproject, reason: spurious}   # to the nearest patch that is not unwanted
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protoexplain.config import MAX_YAML_BYTES, as_yaml, mistakes_in, read_yaml
from protoexplain.errors import UserError

Action = Literal["remove", "reproject"]
Reason = Literal["background", "spurious", "duplicate", "other"]
REMOVE: Action = "remove"
REPROJECT: Action = "reproject"
LONGEST_NOTE, LONGEST_NAME = 500, 100

_Number = Annotated[int, Field(ge=0)]
_FIX = "correct the named keys; protoexplain edit --help shows an example"


class Decision(BaseModel):
    """A prototype is unwanted, and what is done about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prototype: _Number
    """Number in the checkpoint that is edited."""
    do: Action
    reason: Reason
    note: str = Field("", max_length=LONGEST_NOTE)
    who: str = Field("", max_length=LONGEST_NAME)
    date: str = Field("", max_length=LONGEST_NAME)
    image: str | None = None
    """Training image of the patch to be written; without it, the nearest patch that is not unwanted is taken."""
    row: _Number | None = None
    column: _Number | None = None

    @property
    def place(self) -> tuple[str, int, int] | None:
        """Image and cell, where they are said."""
        if self.image is None or self.row is None or self.column is None:
            return None
        return self.image, self.row, self.column


class Decisions(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    weights_sha256: str = ""
    """Of the checkpoint that is edited; empty fits any."""
    epochs: _Number | None = None
    """Of the refit; None takes as many as the family trains its head, but at least 100."""
    decisions: tuple[Decision, ...] = ()

    def to_yaml(self) -> str:
        """What `read_decisions` reads; nothing that is left at its default."""
        plain = {"format": self.format, **self.model_dump(mode="json", exclude_defaults=True)}
        return as_yaml(plain)


def read_decisions(path: Path) -> Decisions:
    """Read a file of decisions.

    Raises:
        UserError: No such file, not YAML or JSON, or unknown or ill-valued keys; all mistakes are told at once.
    """
    if not path.is_file():
        raise UserError("there is no such file of decisions", str(path), "the tab Edit of the app writes one")
    if path.stat().st_size > MAX_YAML_BYTES:
        raise UserError("the file is too large for decisions", str(path), "keep it below 1 MB")
    return parse_decisions(path.read_text(encoding="utf-8", errors="replace"), str(path))


def parse_decisions(text: str, where: str) -> Decisions:
    """Check decisions.

    Raises:
        UserError: As `read_decisions`.
    """
    content = read_yaml(text.lstrip("\N{ZERO WIDTH NO-BREAK SPACE}"), where)
    if not isinstance(content, dict):
        raise UserError("the decisions are not a table of keys", where, _FIX)
    for entry in content["decisions"] if isinstance(content.get("decisions"), list) else ():
        if isinstance(entry, dict) and "date" in entry:  # YAML reads an unquoted date as one
            entry["date"] = str(entry["date"])
    try:
        found = Decisions.model_validate(content)
    except ValidationError as error:
        raise UserError("; ".join(mistakes_in(error, Decisions, ())), where, _FIX) from error
    mistakes = _contradictions(found.decisions)
    if mistakes:
        raise UserError("; ".join(mistakes), where, _FIX)
    return found


def _contradictions(decisions: tuple[Decision, ...]) -> list[str]:
    counts = Counter(decision.prototype for decision in decisions)
    mistakes = [f"prototype {number} is decided on {count} times" for number, count in counts.items() if count > 1]
    for decision in decisions:
        said = [value is not None for value in (decision.image, decision.row, decision.column)]
        if any(said) and decision.do == REMOVE:
            mistakes.append(f"prototype {decision.prototype} is removed, yet a patch is named for it")
        elif any(said) and not all(said):
            mistakes.append(f"prototype {decision.prototype}: image, row and column belong together")
    return mistakes


@dataclass(frozen=True)
class History:
    """Decisions, and the way back and forth between them.

    Args:
        now: What is decided.
        past: What was decided before each step, the latest last.
        future: What undone steps had led to, the next last.
    """

    now: tuple[Decision, ...] = ()
    past: tuple[tuple[Decision, ...], ...] = ()
    future: tuple[tuple[Decision, ...], ...] = ()

    def decide(self, decision: Decision) -> History:
        """Add a decision; it replaces an earlier one on the same prototype."""
        return self._step((*self._others(decision.prototype), decision))

    def withdraw(self, prototype: int) -> History:
        """Take back what was decided on a prototype, whatever was decided since."""
        others = self._others(prototype)
        return self if others == self.now else self._step(others)

    def undo(self) -> History:
        """Before the last step; the same where there is none."""
        if not self.past:
            return self
        return History(self.past[-1], self.past[:-1], (*self.future, self.now))

    def redo(self) -> History:
        """The step that was undone last; the same where there is none."""
        if not self.future:
            return self
        return History(self.future[-1], (*self.past, self.now), self.future[:-1])

    def about(self, prototype: int) -> Decision | None:
        """What is decided on a prototype."""
        return next((decision for decision in self.now if decision.prototype == prototype), None)

    def _others(self, prototype: int) -> tuple[Decision, ...]:
        return tuple(decision for decision in self.now if decision.prototype != prototype)

    def _step(self, decisions: tuple[Decision, ...]) -> History:
        return History(decisions, (*self.past, self.now), ())
