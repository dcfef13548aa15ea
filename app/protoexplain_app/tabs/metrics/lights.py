"""Three lights and one sentence: what the measurements of a model come to for somebody who reads nothing else.

Each light asks a question and looks at a few metrics, each against two limits that `LIGHTS` states.  A metric counts by
the bad end of its 95 % interval, and it is

- *good* beyond its good limit, where no baseline that knows nothing does as well;
- *open* there where one does: on such pictures the number proves nothing, however fine it looks;
- *bad* beyond its bad limit;
- *middling* between both.

A light is green where something is good and nothing worse than open; red where something is bad; yellow otherwise; and
grey where none of its metrics was measured.  The limits are ours: round numbers, the same for all families and data
sets.  They are stated so that they can be argued with; the cards below the lights hold the numbers.

- Answers can be trusted where nearly all are right (accuracy; guessing must be far off), stay so under weak noise, and
  come with probabilities that can be taken at their word (calibration error); where it was measured, also where foreign
  pictures are told apart (area under the ROC curve).
- Prototypes look at one thing where they hit the same part in most pictures (consistency, purity) and are not moved by
  weak noise (stability).
- Explanations show what counts where prototypes and heat maps lie on the object, where few rows hold the decision (ten
  is the most that the app shows), and where blanking what they mark changes the answer (FunnyBirds, misalignment).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protoexplain.metrics.base import MetricResult
from protoexplain.metrics.tables import beaten_by


class Grade(StrEnum):
    """What a metric says."""

    GOOD = "good"
    OPEN = "open"
    MIDDLING = "middling"
    BAD = "bad"


class Colour(StrEnum):
    """Of a light."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"
    GREY = "grey"


@dataclass(frozen=True)
class Criterion:
    """A metric and its limits, in its own unit.

    Args:
        metric: Its name.
        good: From here on it is good.
        bad: From here on it is bad.
        baselines: Whether baselines that do as well take the proof away.
    """

    metric: str
    good: float
    bad: float
    baselines: bool = True

    def grade(self, result: MetricResult) -> Grade | None:
        """What a result says; None where it is no number."""
        score, sign = result.score, 1 if self.good > self.bad else -1
        if not math.isfinite(score.value):
            return None
        worst = min(sign * end for end in (score.value, score.low, score.high) if end is not None)
        if worst <= sign * self.bad:
            return Grade.BAD
        if worst < sign * self.good:
            return Grade.MIDDLING
        return Grade.OPEN if self.baselines and beaten_by(result) else Grade.GOOD


@dataclass(frozen=True)
class Question:
    """What a light asks.

    Args:
        title: The question.
        answers: Colour -> the answer, as a part of a sentence.
        criteria: What decides it.
    """

    title: str
    answers: Mapping[Colour, str]
    criteria: tuple[Criterion, ...]


LIGHTS: Final = (
    Question(
        "Can the answers be trusted?",
        {
            Colour.GREEN: "its answers can be trusted",
            Colour.YELLOW: "its answers can be trusted only with care",
            Colour.RED: "its answers cannot be trusted",
            Colour.GREY: "whether its answers can be trusted was not measured",
        },
        (
            Criterion("accuracy", 0.9, 0.5),
            Criterion("accuracy_under_noise", 0.9, 0.5, baselines=False),
            Criterion("calibration_error", 0.05, 0.15, baselines=False),
            Criterion("foreign_auroc", 0.9, 0.6),
        ),
    ),
    Question(
        "Do prototypes look at one thing?",
        {
            Colour.GREEN: "each prototype looks at one thing",
            Colour.YELLOW: "it is not sure that each prototype looks at one thing",
            Colour.RED: "its prototypes do not look at one thing",
            Colour.GREY: "whether prototypes look at one thing was not measured",
        },
        (
            Criterion("consistency", 80.0, 40.0),
            Criterion("purity", 0.5, 0.25),
            Criterion("stability", 75.0, 40.0),
        ),
    ),
    Question(
        "Do explanations show what counts?",
        {
            Colour.GREEN: "explanations show what counts",
            Colour.YELLOW: "explanations show only a part of what counts",
            Colour.RED: "explanations do not show what counts",
            Colour.GREY: "whether explanations show what counts was not measured",
        },
        (
            Criterion("compactness", 10.0, 30.0),
            Criterion("off_object", 5.0, 25.0),
            Criterion("pointing_game", 0.9, 0.5),
            Criterion("misalignment_pac", 20.0, 60.0, baselines=False),
            Criterion("funnybirds_overall", 0.7, 0.4, baselines=False),
        ),
    ),
)


@dataclass(frozen=True)
class Light:
    """An answer and why.

    Args:
        question: What was asked.
        colour: The answer.
        reasons: The metrics that decided it, the worst first.
    """

    question: Question
    colour: Colour
    reasons: tuple[tuple[MetricResult, Grade], ...]

    @property
    def answer(self) -> str:
        """In words."""
        return self.question.answers[self.colour]


def lights(results: Mapping[str, MetricResult]) -> tuple[Light, ...]:
    """The three lights of what was measured."""
    return tuple(_light(question, results) for question in LIGHTS)


def verdict(shown: Sequence[Light]) -> str:
    """All answers in one sentence; what is good comes first, doubts follow after "but"."""
    good = [light.answer for light in shown if light.colour is Colour.GREEN]
    others = [light.answer for light in shown if light.colour is not Colour.GREEN]
    told = ", but ".join(part for part in (_listed(good), _listed(others)) if part)
    return f"{told[0].upper()}{told[1:]}." if told else ""


def _light(question: Question, results: Mapping[str, MetricResult]) -> Light:
    graded = [
        (results[one.metric], grade)
        for one in question.criteria
        if one.metric in results and (grade := one.grade(results[one.metric])) is not None
    ]
    grades = {grade for _, grade in graded}
    if not grades:
        colour = Colour.GREY
    elif Grade.BAD in grades:
        colour = Colour.RED
    else:
        colour = Colour.GREEN if grades <= {Grade.GOOD, Grade.OPEN} and Grade.GOOD in grades else Colour.YELLOW
    worst_first = list(Grade)[::-1]
    return Light(question, colour, tuple(sorted(graded, key=lambda pair: worst_first.index(pair[1]))))


def _listed(answers: Sequence[str]) -> str:
    return answers[0] if len(answers) == 1 else f"{', '.join(answers[:-1])} and {answers[-1]}" if answers else ""
