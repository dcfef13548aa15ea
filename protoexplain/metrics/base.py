"""What a metric is, and what it returns: one number with its interval, baselines, curves and details.

A metric is a pure function of the observations of a model (`Observations`).  It declares which passes over the images
and which annotations it needs; the runner makes each pass once for all metrics.  P prototypes, N test images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter

from protoexplain.io.json_values import finite

if TYPE_CHECKING:
    from protoexplain.metrics.observe.observations import Observations
    from protoexplain.metrics.observe.plan import Kind

Need = Literal[
    "parts",
    "regions",
    "training_regions",
    "projection",
    "foreign",
    "places",
    "interventions",
    "training_images",
    "certificate",
]
"""Part locations; masks or boxes of the object in test images and in training images; prototypes from before
projection; images of other things; prototypes that are found at places of an image; images without parts; training
images; a model that knows how far images may move."""
Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A float whose NaN is null in JSON."""
_DESCRIPTION = ("title", "help", "unit", "higher_is_better")


class MetricSettings(BaseModel):
    """Base class of a metric's own settings; itself it has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Curve:
    """A score over one of its free parameters.

    Args:
        parameter: Its name, for people.
        x: Values of the parameter.
        y: The score at each.
        chosen: The value that the score itself was measured at; None where it is an average over the curve.
        baselines: Name -> the baseline at each value.
    """

    parameter: str
    x: tuple[Number, ...]
    y: tuple[Number, ...]
    chosen: float | None = None
    baselines: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """The numbers that a metric computes.

    Args:
        value: The score; NaN where nothing could be measured.
        low: Lower end of the 95 % interval, None where there is none.
        high: Upper end.
        n_used: Prototypes or images that it is over.
        over: Whether the score averages over prototypes or over images.
        per_prototype: [P] values whose mean is the score, None for the prototypes that were left out.
        per_image: [N] values whose mean is the score, None for the images that were left out.
        excluded: Reason -> how many prototypes or images were left out.
        baselines: Name -> the score of a model that ignores the image.
        curves: The score over its free parameters.
        details: Further JSON values, such as tables.
        settings: What it was measured with, beyond the metric's own and the shared settings.
    """

    value: Number
    low: float | None
    high: float | None
    n_used: int
    over: Literal["prototypes", "images"]
    per_prototype: tuple[float | None, ...] | None = None
    per_image: tuple[float | None, ...] | None = None
    excluded: Mapping[str, int] = field(default_factory=dict)
    baselines: Mapping[str, Number] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricResult:
    """A score with all that is needed to show it.

    Args:
        name: Of the metric.
        title: For people.
        help: What it means and which values are good, in one or two sentences.
        unit: ``%``, ``prototypes``, or empty for a plain number.
        higher_is_better: None where neither direction is better.
        score: The numbers.
        settings: Everything that it was measured with; JSON values.
    """

    name: str
    title: str
    help: str
    unit: str
    higher_is_better: bool | None
    score: Score
    settings: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """JSON values in one table; NaN becomes None."""
        described = {key: getattr(self, key) for key in _DESCRIPTION}
        content = {**described, **asdict(self.score), "settings": dict(self.settings)}
        plain: dict[str, Any] = finite(content)
        return plain

    @classmethod
    def from_dict(cls, name: str, content: object) -> MetricResult:
        """Read back what `to_dict` gave.

        Raises:
            ValueError: It is something else.
        """
        if not isinstance(content, Mapping):
            raise ValueError("not a table")
        numbers = {key: content[key] for key in Score.__dataclass_fields__ if key in content and key != "settings"}
        described = {key: content.get(key) for key in _DESCRIPTION}
        result: MetricResult = _RESULT.validate_python(
            {"name": name, **described, "score": numbers, "settings": content.get("settings")}
        )
        return result


_RESULT = TypeAdapter(MetricResult)
_COSTLY: frozenset[Kind] = frozenset({"without", "attack"})


@dataclass(frozen=True)
class Metric:
    """An entry of the registry: a description and the function that computes the score.

    Args:
        title: Name for people.
        help: What it means and which values are good, in one or two sentences.
        higher_is_better: None where neither direction is better.
        passes: Kinds of passes over the test images that it needs.
        compute: Function from the observations and the metric's own settings to its score.
        unit: ``%``, ``prototypes``, or empty.
        low: Least possible value.
        high: Greatest possible value.
        needs: What the data or the checkpoint must have.
        settings: Class of its own settings; what several metrics share is in `MeasureSettings`.
        training: Kinds of passes over training images that it needs.
    """

    title: str
    help: str
    higher_is_better: bool | None
    passes: frozenset[Kind]
    compute: Callable[[Observations, Any], Score]
    unit: str = ""
    low: float = 0
    high: float = 1
    needs: frozenset[Need] = frozenset()
    settings: type[MetricSettings] = MetricSettings
    training: frozenset[Kind] = frozenset()

    @property
    def costly(self) -> bool:
        """Whether each image takes dozens of pictures or passes more, so that it is measured only when it is named."""
        return not self.passes.isdisjoint(_COSTLY)

    def measure(self, name: str, observed: Observations, settings: BaseModel) -> MetricResult:
        """Compute the score, and add title, unit and all settings to it."""
        score = self.compute(observed, settings)
        used = {**observed.record(), **settings.model_dump(mode="json"), **score.settings}
        return MetricResult(name, self.title, self.help, self.unit, self.higher_is_better, score, used)
