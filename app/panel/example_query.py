"""Test pictures to choose from: all, those that the model names wrongly, those that it is least sure of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.examples import Subject
from app.library import Choice, Library
from app.links import Words, number
from app.surveys import Guess, Survey

ALL, WRONG, UNSURE = "all", "wrong", "unsure"
PAGE, MOST = 36, 2000


@dataclass(frozen=True)
class Wish:
    """Args: show: `ALL`, `WRONG` or `UNSURE`; label: of a class, None for all; count: how many at most."""

    show: str = ALL
    label: int | None = None
    count: int = PAGE


@dataclass(frozen=True)
class Shelf:
    """Pictures to choose from.

    Args:
        pictures: With what the model says about them, where that is known.
        more: How many further ones there are.
        survey: What is known of the model on these pictures.
        waiting: Whether the pictures that were wished for are known only when the survey is complete.
    """

    pictures: tuple[tuple[Subject, Guess | None], ...]
    more: int
    survey: Survey
    waiting: bool


def read_wish(words: Words) -> Wish:
    """From the fields of the form."""
    show = words.get("show", ALL)
    count = min(max(number(words, "count") or PAGE, PAGE), MOST)
    return Wish(show if show in (ALL, WRONG, UNSURE) else ALL, number(words, "of"), count)


def shelf(library: Library, choice: Choice, wish: Wish) -> Shelf:
    """The pictures that are wished for; what needs the model's opinion on all of them is asked for.

    Raises:
        UserError: There is no such model.
    """
    checkpoint = library.checkpoint(choice)
    surveys = library.surveys
    survey = surveys.known(checkpoint) if wish.show == ALL else surveys.request(library.explainer(choice))
    if wish.show != ALL and not survey.finished:
        return Shelf((), 0, survey, waiting=True)
    truth = checkpoint.classes[wish.label] if wish.label is not None and wish.label < len(checkpoint.classes) else None
    subjects = [s for s in library.examples.of(checkpoint) if truth in (None, s.truth)]
    pairs = [(subject, (survey.result or {}).get(subject.key)) for subject in subjects]
    if wish.show != ALL:
        judged = [(subject, guess) for subject, guess in pairs if guess is not None]
        pairs = list(_wrong(judged) if wish.show == WRONG else sorted(judged, key=lambda pair: pair[1].lead))
    return Shelf(tuple(pairs[: wish.count]), max(len(pairs) - wish.count, 0), survey, waiting=False)


def _wrong(judged: Sequence[tuple[Subject, Guess]]) -> Iterator[tuple[Subject, Guess]]:
    """Those named wrongly, the surest mistakes first."""
    surest_first = sorted(judged, key=lambda pair: -pair[1].probability)
    return ((subject, guess) for subject, guess in surest_first if not guess.right)
