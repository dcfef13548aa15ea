"""What a report holds: plain data, gathered once, that every renderer draws in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from protoexplain.checkpoint.prototypes import DataInfo
from protoexplain.explain.evidence.local import Explanation, Prediction
from protoexplain.io.json_values import finite
from protoexplain.report.pictures import Picture

SCHEMA_VERSION = 2
SECTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "model": "The model and its data",
        "accuracy": "How often it is right",
        "metrics": "How far its explanations can be trusted",
        "images": "Pictures explained",
        "prototypes": "The prototypes",
        "reproduce": "How to make it again",
    }
)
"""Sections by name, in their order, with their headings."""


@dataclass(frozen=True)
class ModelCard:
    """The model and its data.

    Args:
        family: Title of the method.
        paper: That describes it.
        about: What the configuration says of itself; may be empty.
        backbone: Name of the network below the prototypes.
        image_size: Side of the network's input in pixels.
        classes: Names by label.
        data: What the model was trained on.
        prototypes: How many there are.
        projected: How many of them equal a training patch; the others are illustrated by one.
        shared: Whether all classes share the prototypes.
    """

    family: str
    paper: str
    about: str
    backbone: str
    image_size: int
    classes: tuple[str, ...]
    data: DataInfo
    prototypes: int
    projected: int
    shared: bool


@dataclass(frozen=True)
class Rate:
    """A share of images that are classified rightly.

    Args:
        name: Of the images: test or validation.
        value: In [0, 1].
        images: How many there are.
        low: Lower end of the 95 % interval (Wilson 1927).
        high: Upper end.
    """

    name: str
    value: float
    images: int
    low: float
    high: float


@dataclass(frozen=True)
class Accuracy:
    """How often the model is right.

    Args:
        rates: By kind of images.
        chance: What guessing would give.
    """

    rates: tuple[Rate, ...]
    chance: float


@dataclass(frozen=True)
class Measure:
    """An interpretability metric.

    Args:
        name: Of the metric.
        title: For people.
        meaning: What it means and what is good.
        unit: ``%``, ``prototypes``, or empty for a plain number.
        better: ``higher``, ``lower``, or empty where neither is.
        value: None where nothing could be measured.
        low: Lower end of the 95 % interval, None where there is none.
        high: Upper end.
        over: Over how many prototypes or images, such as ``200 images``.
        baselines: Name -> value of something that knows nothing.
        not_beaten: The baselines that the value does not exceed in the good direction, counting its interval.
        least: Least possible value, None where there is no end.
        greatest: Greatest possible value.
    """

    name: str
    title: str
    meaning: str
    unit: str
    better: str
    value: float | None
    low: float | None
    high: float | None
    over: str
    baselines: Mapping[str, float | None]
    not_beaten: tuple[str, ...]
    least: float | None
    greatest: float | None


@dataclass(frozen=True)
class Weight:
    """By how much a class score changes per unit of a prototype's activation."""

    name: str
    value: float


@dataclass(frozen=True)
class PrototypeCard:
    """A prototype in the gallery.

    Args:
        index: Its number.
        owner: Its class, None where all classes share it.
        image: Name of the training picture, None where there is none.
        patch: Its part of that picture.
        source: The picture, with the part's box.
        weights: Its own class; for shared ones the classes that it counts for most.
        words: Sentences: the part of the object that it looks at, the characteristics that it rests on.
    """

    index: int
    owner: str | None
    image: str | None
    patch: Picture | None
    source: Picture | None
    weights: tuple[Weight, ...]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Shelf:
    """Prototypes under a heading: a class, or empty where all classes share them."""

    heading: str
    cards: tuple[PrototypeCard, ...]


@dataclass(frozen=True)
class Gallery:
    """The prototypes.

    Args:
        total: Of the model.
        shown: In this report.
        findings: What was found when they were checked after training, one sentence each.
        shelves: By class.
    """

    total: int
    shown: int
    findings: tuple[str, ...]
    shelves: tuple[Shelf, ...]


@dataclass(frozen=True)
class Row:
    """One prototype in an explanation.

    Args:
        number: In the list; the whole picture bears it too, where the part was found.
        prototype: Its number in the model.
        owner: Its class, None where all classes share it.
        similarity: In the unit of the family.
        usual: That of an average training image, None where evidence does not count from it.
        evidence: What it adds to the class score, or what the class loses by it.
        share: Length of the bar, 0 to 1 of the longest.
        part: The part of the picture; None where it is about what is missing, as the next one.
        heat: Where the picture looks like the prototype, over the region that the model saw.
        patch: The part of the training picture.
        source: The training picture, with the part's box.
        notes: What blanking the box does, and what a reader has to be careful about.
        careful: Whether there is something to be careful about.
    """

    number: int
    prototype: int
    owner: str | None
    similarity: float
    usual: float | None
    evidence: float
    share: float
    part: Picture | None
    heat: Picture | None
    patch: Picture | None
    source: Picture | None
    notes: tuple[str, ...] = ()
    careful: bool = False


@dataclass(frozen=True)
class Rows:
    """A list of rows.

    Args:
        kind: ``for``, ``against``, ``missing`` (as expected), ``unwanted`` (found) or ``lacking`` (though wanted).
        rows: The largest first.
    """

    kind: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Sum:
    """Parts that add up to the class score, which is relative to the average class where evidence is ``shapley``."""

    found: float
    missing: float
    rest: float
    bias: float
    score: float


@dataclass(frozen=True)
class ImageCase:
    """A picture, what the model says of it, and why.

    Args:
        name: Of the picture.
        truth: Its class by the data set, None where unknown.
        picture: Whole, with the region that the model saw and the boxes of the rows.
        predictions: The best classes.
        lists: Rows about the best class.
        total: The parts of its score.
        by_probability: Whether scores and evidence are probabilities.
        sentences: Why not the next class, and what would change the answer.
        notices: What was done to the picture when it was read.
        explanation: All numbers.
    """

    name: str
    truth: str | None
    picture: Picture
    predictions: tuple[Prediction, ...]
    lists: tuple[Rows, ...]
    total: Sum
    by_probability: bool
    sentences: tuple[str, ...]
    notices: tuple[str, ...]
    explanation: Explanation


@dataclass(frozen=True)
class Refused:
    """A picture that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Reproduce:
    """What it takes to make model and report again.

    Args:
        command: That trained the model; may be empty.
        report_command: That made this report; may be empty.
        seed: Of the training.
        weights_sha256: Of the file of weights.
        checkpoint_sha256: Of the whole checkpoint.
        data_fingerprint: SHA-256 over ids, labels, splits and boxes of the data set.
        trained_with: Package -> version when the model was trained.
        reported_with: Package -> version when this report was made.
        config: The whole configuration.
    """

    command: str
    report_command: str
    seed: int
    weights_sha256: str
    checkpoint_sha256: str
    data_fingerprint: str
    trained_with: Mapping[str, str]
    reported_with: Mapping[str, str]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Report:
    """A report.  Sections that were not asked for are None.

    Args:
        title: Of the model.
        made: When, as ISO 8601.
        opening: What such a model is, and how to read the pages: three sentences.
        model: The model and its data.
        accuracy: How often it is right.
        metrics: What was measured of its explanations; empty where nothing was.
        images: Pictures explained.
        refused: Pictures that could not be read.
        prototypes: The gallery.
        reproduce: How to make it again.
    """

    title: str
    made: str
    opening: tuple[str, str, str]
    model: ModelCard | None
    accuracy: Accuracy | None
    metrics: tuple[Measure, ...] | None
    images: tuple[ImageCase, ...] | None
    refused: tuple[Refused, ...]
    prototypes: Gallery | None
    reproduce: Reproduce | None

    @property
    def sections(self) -> dict[str, str]:
        """Those that it has: name -> heading."""
        return {name: title for name, title in SECTIONS.items() if getattr(self, name) is not None}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; report.schema.json describes it."""
        content = {name: _plain(value) for name, value in vars(self).items()}
        plain: dict[str, Any] = finite({"schema": SCHEMA_VERSION, **content})
        return plain


def _plain(value: object) -> Any:  # noqa: ANN401
    """Data classes as tables; explanations as they write themselves."""
    if isinstance(value, Explanation):
        return value.to_dict()
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value
