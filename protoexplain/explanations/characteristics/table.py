"""What a checkpoint knows of its prototypes' characteristics: the table "characteristics" of its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.explanations.characteristics.calibration import StrengthCalibration
from protoexplain.explanations.characteristics.global_scores import Estimates, Number, known
from protoexplain.io.manifest import first_mistake

METRIC = "characteristics"
"""Name of the table in a checkpoint's metrics; below it, one table for each split."""
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
Row = tuple[Number, ...]


@dataclass(frozen=True)
class ScoreTable:
    """A number and its interval for each prototype and characteristic: P rows of M; None where not measured."""

    __pydantic_config__ = _STRICT

    value: tuple[Row, ...]
    low: tuple[Row, ...]
    high: tuple[Row, ...]

    @classmethod
    def of(cls, estimates: Estimates) -> ScoreTable:
        return cls(*(_rows(part) for part in (estimates.value, estimates.low, estimates.high)))


@dataclass(frozen=True)
class Characteristics:
    """Global scores of all prototypes, published and calibrated.

    Args:
        split: Whose images were looked at.
        fingerprint: Of the data set.
        images: How many.
        names: Of the M characteristics, in the order of the tables.
        calibration: Strengths, scale and noise of calibrated scores.
        published: Nauta et al. 2020: published strengths, weighted with the activations of all images; in units of
            the activation.
        calibrated: Equal strengths, weighted with the activations of the images whose class the prototype stands
            for; in multiples of the average disturbance of unrelated prototypes.
        activation: [P] mean activation, weighted in the same way.
        matched_images: [P] images that calibrated scores rest on.
        confidence: That all M intervals of one prototype hold together.
        resamples: Of the bootstrap.
    """

    __pydantic_config__ = _STRICT

    split: str
    fingerprint: str
    images: int
    names: tuple[str, ...]
    calibration: StrengthCalibration
    published: ScoreTable
    calibrated: ScoreTable
    activation: Row
    matched_images: tuple[int, ...]
    confidence: float
    resamples: int

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, Any], split: str = "train") -> Characteristics | None:
        """Read them from a checkpoint's metrics; None where they were not measured.

        Raises:
            UserError: The table is damaged.
        """
        tables = metrics.get(METRIC, {})
        if not isinstance(tables, Mapping):
            raise _damaged("it is no table")
        if tables.get(split) is None:
            return None
        try:
            found = _CHARACTERISTICS.validate_python(tables[split])
        except ValidationError as error:
            raise _damaged(first_mistake(error)) from error
        if not found._consistent():
            raise _damaged("names, prototypes and rows do not fit each other")
        return found

    def to_metrics(self) -> dict[str, Any]:
        """For `checkpoint.checkpoint.add_metrics`."""
        return {METRIC: {self.split: _CHARACTERISTICS.dump_python(self, mode="json")}}

    def _consistent(self) -> bool:
        tables = [part for table in (self.published, self.calibrated) for part in (table.value, table.low, table.high)]
        rows = [row for part in tables for row in part]
        lengths = {len(part) for part in tables} | {
            len(self.activation),
            len(self.matched_images),
            len(self.calibration.noise),
        }
        named = all(set(table) == set(self.names) for table in (self.calibration.strengths, self.calibration.scale))
        return named and len(lengths) == 1 and all(len(row) == len(self.names) for row in rows)


_CHARACTERISTICS = TypeAdapter(Characteristics)


def known_characteristics(
    metrics: Mapping[str, Any], prototypes: int, splits: Sequence[str] = ("train",)
) -> Characteristics | None:
    """What a checkpoint's measurements hold of its prototypes; None where nothing is about so many of them.

    Args:
        metrics: Of the checkpoint.
        prototypes: How many the model has.
        splits: Whose images are asked for, the best first.

    Raises:
        UserError: A table is damaged.
    """
    tables = (Characteristics.from_metrics(metrics, split) for split in splits)
    return next((found for found in tables if found is not None and len(found.activation) == prototypes), None)


def _damaged(why: str) -> UserError:
    fix = "measure them again: protoexplain characteristics"
    return UserError(f"the table of characteristics is damaged: {why}", "measurements of the checkpoint", fix)


def _rows(numbers: Tensor) -> tuple[Row, ...]:
    return tuple(tuple(map(known, row)) for row in numbers.tolist())
