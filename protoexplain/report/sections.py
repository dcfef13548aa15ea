"""The parts of a report beside the explained pictures, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protoexplain.checkpoint.prototypes import DataInfo
from protoexplain.view.pictures import Picture


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
        of_several: Prototypes that several classes share, but not all.
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
    of_several: int


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
class PrototypeGroup:
    """Prototypes under a heading: a class, that several classes share them, or nothing where all do."""

    heading: str
    cards: tuple[PrototypeCard, ...]


@dataclass(frozen=True)
class Gallery:
    """The prototypes.

    Args:
        total: Of the model.
        shown: In this report.
        findings: What was found when they were checked after training, one sentence each.
        sections: The prototypes by class.
    """

    total: int
    shown: int
    findings: tuple[str, ...]
    sections: tuple[PrototypeGroup, ...]


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
