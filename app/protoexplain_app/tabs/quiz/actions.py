"""Do explanations help?  A quiz that hides what the model decided and asks visitors to find it out from prototypes.

After Kim et al. 2022, "HIVE: Evaluating the Human Interpretability of Visual Explanations": the distinction task (which
of four classes' explanations is that of the decision) and the agreement task (is the decision right, on a scale of
four).  Names of classes are hidden.  The same seed asks the same questions of the same model and data.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.errors import UserError
from protoexplain.explanations.evidence.match import matches
from protoexplain.explanations.explainer import Explainer
from protoexplain.metrics.stats.wilson import wilson
from protoexplain.view.image_pictures import ImagePictures
from protoexplain.view.pictures import Picture
from protoexplain_app.examples import START_WITH_DATA
from protoexplain_app.image_predictions import ImagePrediction
from protoexplain_app.input_image import InputImage, run_model
from protoexplain_app.links import Parameters, number
from protoexplain_app.pictures import ServedPictures, prototype_picture

DISTINCTION, AGREEMENT = "distinction", "agreement"
LENGTHS = (5, 10, 20)
OPTIONS, PARTS = 4, {DISTINCTION: 3, AGREEMENT: 5}
SCALE = (
    "The model is right, I am fairly sure",
    "The model is right, I rather think",
    "The model is wrong, I rather think",
    "The model is wrong, I am fairly sure",
)
"""Answers of the agreement task; the first two trust the model."""
TRUSTING = (0, 1)


@dataclass(frozen=True)
class Query:
    """Args: task: `DISTINCTION` or `AGREEMENT`; seed: of the questions; length: how many; feedback: whether each answer
    is judged at once."""

    task: str = DISTINCTION
    seed: int = 0
    length: int = LENGTHS[1]
    feedback: bool = False

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of an address that bring the same quiz."""
        feedback = 1 if self.feedback else None
        return {"task": self.task, "seed": self.seed, "length": self.length, "feedback": feedback}


@dataclass(frozen=True)
class Item:
    """A question that was asked.

    Args:
        image: Key of the picture.
        shown: Labels of the classes whose explanations were shown, in order.
        decided: Label that the model decides for.
        truth: Class name by the data set.
        right: Whether the decision is right.
        answer: Place of the chosen option, from 0; None while it is open.
        seconds: Until the answer.
    """

    image: str
    shown: tuple[int, ...]
    decided: int
    truth: str | None
    right: bool
    answer: int | None = None
    seconds: float = 0.0

    def hit(self, task: str) -> bool:
        """Whether the answer is the right one."""
        if task == DISTINCTION:
            return self.answer is not None and self.shown[self.answer] == self.decided
        return self.answer is not None and (self.answer in TRUSTING) == self.right


@dataclass(frozen=True)
class Session:
    """One visitor's quiz.

    Args:
        participant: An anonymous mark.
        model: Name of the checkpoint.
        weights: SHA-256 of its weights.
        data: Fingerprint of the data set.
        classes: Names by label.
        query: What was asked for.
        queue: Keys of the pictures to come.
        items: Questions that were asked; the last one may be open.
    """

    participant: str
    model: str
    weights: str
    data: str
    classes: tuple[str, ...]
    query: Query
    queue: tuple[str, ...]
    items: tuple[Item, ...] = ()

    @property
    def total(self) -> int:
        return len(self.queue) + len(self.items)

    @property
    def answered(self) -> bool:
        """Whether any question was answered."""
        return any(item.answer is not None for item in self.items)

    @property
    def open(self) -> Item | None:
        """The question that waits for an answer."""
        return self.items[-1] if self.items and self.items[-1].answer is None else None


@dataclass(frozen=True)
class MatchedPart:
    """A part of the picture and the prototype that it looks like."""

    place: Picture
    patch: Picture | None


@dataclass(frozen=True)
class Question:
    """What is shown of an item: the picture, and for each option the likenesses that speak for a class."""

    picture: Picture
    options: tuple[tuple[MatchedPart, ...], ...]


@dataclass(frozen=True)
class Score:
    """How well a visitor did.

    Args:
        hits: Right answers.
        total: Answers.
        low: Of the 95 % interval of the share of right answers (Wilson 1927).
        high: See there.
        chance: Share that guessing gets right.
        believed: Wrong decisions of the model that the visitor trusted (agreement task).
        wrong: Wrong decisions of the model.
        seconds: Mean time of an answer.
    """

    hits: int
    total: int
    low: float
    high: float
    chance: float
    believed: int
    wrong: int
    seconds: float


def parse_query(parameters: Parameters) -> Query:
    """From the parameters of an address."""
    task = parameters.get("task", DISTINCTION)
    length = number(parameters, "length")
    return Query(
        task if task in (DISTINCTION, AGREEMENT) else DISTINCTION,
        number(parameters, "seed") or 0,
        length if length in LENGTHS else LENGTHS[1],
        parameters.get("feedback") == "1",
    )


def begin(
    checkpoint: Checkpoint,
    model: str,
    data: str,
    images: Sequence[InputImage],
    predictions: Mapping[str, ImagePrediction],
    query: Query,
    participant: str,
) -> Session:
    """Choose the pictures.

    Args:
        checkpoint: Of the model.
        model: Its name.
        data: Fingerprint of the data set.
        images: Pictures to ask about.
        predictions: What the model says about them; needed by the agreement task, which asks about wrong decisions as
            often as about right ones, as far as there are any.
        query: What is asked for.
        participant: An anonymous mark of the visitor.

    Raises:
        UserError: There are no pictures, too few classes, or nothing is known of them.
    """
    if len(checkpoint.classes) < 2 or not images:
        raise UserError("there is nothing to ask about", "", "choose a model with several classes and pictures")
    rng = random.Random(f"{query.seed}/{query.task}/{checkpoint.weights_sha256}/{data}")
    keys = sorted(image.key for image in images)
    rng.shuffle(keys)
    if query.task == AGREEMENT:
        judged = [key for key in keys if key in predictions]
        if not judged:
            raise UserError("whether the model is right is known of no picture", "", START_WITH_DATA)
        wrong = [key for key in judged if not predictions[key].right][: query.length // 2]
        right = [key for key in judged if predictions[key].right][: query.length - len(wrong)]
        keys = [*wrong, *right]
        rng.shuffle(keys)
    queue = tuple(keys[: query.length])
    return Session(participant, model, checkpoint.weights_sha256, data, checkpoint.classes, query, queue)


def ask(explainer: Explainer, session: Session, image: InputImage) -> tuple[Session, Question]:
    """Ask about the next picture.

    Raises:
        UserError: The picture cannot be read.
    """
    forward = run_model(explainer, image)
    ranked, query = forward.forward_pass.ranked, session.query
    shown = ranked[: OPTIONS if query.task == DISTINCTION else 1]
    random.Random(f"{query.seed}/{image.key}").shuffle(shown)
    right = forward.forward_pass.class_names[ranked[0]] == image.truth
    item = Item(image.key, tuple(shown), ranked[0], image.truth, right)
    draw = ImagePictures(explainer, forward, ServedPictures(explainer.checkpoint))
    options = tuple(_matched_parts(explainer, draw, label, PARTS[query.task]) for label in shown)
    asked = replace(session, queue=session.queue[1:], items=(*session.items, item))
    return asked, Question(draw.whole(), options)


def answer(session: Session, chosen: int | None, seconds: float) -> Session:
    """Note an answer to the open question.

    Raises:
        UserError: There is no such option, or no open question.
    """
    item = session.open
    options = len(SCALE) if session.query.task == AGREEMENT else len(item.shown) if item else 0
    if item is None or chosen not in range(options):
        raise UserError("no answer was chosen", "", "choose one of those that are shown")
    return replace(session, items=(*session.items[:-1], replace(item, answer=chosen, seconds=round(seconds, 2))))


def score(session: Session) -> Score:
    """Of the answers that were given."""
    task, items = session.query.task, [item for item in session.items if item.answer is not None]
    hits = sum(item.hit(task) for item in items)
    wrong = [item for item in items if not item.right]
    guess = [1 / len(item.shown) for item in items] if task == DISTINCTION else [0.5]
    low, high = wilson(hits, len(items))
    return Score(
        hits,
        len(items),
        low,
        high,
        sum(guess) / max(len(guess), 1),
        sum(item.answer in TRUSTING for item in wrong) if task == AGREEMENT else 0,
        len(wrong),
        sum(item.seconds for item in items) / max(len(items), 1),
    )


def _matched_parts(explainer: Explainer, draw: ImagePictures, label: int, count: int) -> tuple[MatchedPart, ...]:
    """The prototypes whose presence speaks most for a class."""
    presence = draw.forward.forward_pass.evidence([label]).presence[:, 0]
    order = [p for p in presence.argsort(descending=True, stable=True)[:count].tolist() if float(presence[p]) > 0]
    found = matches(draw.forward.forward_pass, [label], order)[0]
    return tuple(
        MatchedPart(
            draw.boxed_region(found[p], "Part of the picture, marked by a box"),
            prototype_picture(explainer.checkpoint, p, "patch", alt="Part of a training picture"),
        )
        for p in order
    )
