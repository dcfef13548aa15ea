"""What a model says about all pictures: found once in the background, kept on disk by weights and data."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from app.courtesy import Courtesy
from app.examples import Examples
from protoexplain.errors import UserError
from protoexplain.explain.session import Explainer
from protoexplain.io.atomic import write_file
from protoexplain.io.cache import cache_folder
from protoexplain.io.checkpoint import Checkpoint
from protoexplain.io.manifest import MAX_JSON_BYTES, read_limited

log = logging.getLogger(__name__)
T = TypeVar("T")
Told = Callable[[int, int, T | None], None]
"""Takes how many pictures were looked at, of how many, and what is known by now."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What is known of an answer.

    Args:
        value: The answer; a part of it while it is under way, None where nothing is known.
        done: Pictures looked at.
        total: Pictures to look at; 0 where nobody has asked.
        trouble: Why there is no answer.
    """

    value: T | None = None
    done: int = 0
    total: int = 0
    trouble: str = ""

    @property
    def complete(self) -> bool:
        return self.value is not None and 0 < self.total == self.done

    @property
    def under_way(self) -> bool:
        return self.total > 0 and not self.complete


class Question(Protocol[T]):
    """What can be asked of a model and a data set."""

    name: str
    """Of the folder that answers are kept in."""
    kept: TypeAdapter[T]
    """How an answer is written and read."""

    def pictures(self, examples: Examples, checkpoint: Checkpoint) -> int:
        """How many pictures have to be looked at.

        Raises:
            UserError: The model cannot be asked about these data.
        """

    def answer(self, examples: Examples, explainer: Explainer, told: Told[T]) -> T:
        """Look at all pictures."""

    def sound(self, checkpoint: Checkpoint, value: T) -> bool:
        """Whether an answer that was read can be one about this model."""


class Answers(Generic[T]):
    """The answers of all models to a question; may be used from any thread.

    Args:
        question: What is asked.
        examples: The data set.
        courtesy: Gives way to visitors.
        folder: Where answers are kept; by default a folder of the user's cache.
    """

    def __init__(
        self, question: Question[T], examples: Examples, courtesy: Courtesy, folder: Path | None = None
    ) -> None:
        self.question, self.examples, self.courtesy = question, examples, courtesy
        self.folder = folder or cache_folder() / question.name
        self._answers: dict[str, Answer[T]] = {}
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def known(self, checkpoint: Checkpoint) -> Answer[T]:
        """What is known without asking, from memory or from disk."""
        key = self._key(checkpoint)
        with self._lock:
            if key not in self._answers:
                self._answers[key] = self._kept(checkpoint)
            return self._answers[key]

    def ask(self, explainer: Explainer) -> Answer[T]:
        """What is known now; where it is nothing, the pictures are looked at in the background."""
        known, key = self.known(explainer.checkpoint), self._key(explainer.checkpoint)
        if known.total or known.trouble:
            return known
        total = self.question.pictures(self.examples, explainer.checkpoint)
        with self._lock:
            if self._answers[key].total:
                return self._answers[key]
            asked = self._answers[key] = Answer(total=total)
        threading.Thread(target=self._run, args=(explainer, key), daemon=True).start()
        return asked

    def file(self, checkpoint: Checkpoint) -> Path:
        """Where the answer of a model is kept."""
        return self.folder / f"{self._key(checkpoint)}.json"

    def _run(self, explainer: Explainer, key: str) -> None:
        def told(done: int, total: int, value: T | None) -> None:
            self._note(key, Answer(value, done, total))
            self.courtesy.give_way()

        try:
            with self._turn:
                self.courtesy.give_way()
                value = self.question.answer(self.examples, explainer, told)
            total = self._answers[key].total
            self._note(key, Answer(value, total, total))
            self._keep(explainer.checkpoint, value)
        except UserError as error:
            self._note(key, Answer(trouble=error.what))
        except Exception:
            log.exception("looking at the pictures failed")
            self._note(key, Answer(trouble="looking at the pictures failed; the program's log says more"))

    def _note(self, key: str, answer: Answer[T]) -> None:
        with self._lock:
            self._answers[key] = answer

    def _keep(self, checkpoint: Checkpoint, value: T) -> None:
        try:
            write_file(self.file(checkpoint), self.question.kept.dump_json(value))
        except UserError as error:
            log.warning("what the model says is not kept: %s", error.what)

    def _kept(self, checkpoint: Checkpoint) -> Answer[T]:
        try:
            total = self.question.pictures(self.examples, checkpoint)
        except UserError as error:
            return Answer(trouble=error.what)
        try:
            value = self.question.kept.validate_json(read_limited(self.file(checkpoint), MAX_JSON_BYTES), strict=True)
        except (UserError, OSError, ValidationError):
            return Answer()
        return Answer(value, total, total) if self.question.sound(checkpoint, value) else Answer()

    def _key(self, checkpoint: Checkpoint) -> str:
        return f"{checkpoint.weights_sha256[:32]}-{(self.examples.fingerprint(checkpoint) or 'none')[:32]}"
