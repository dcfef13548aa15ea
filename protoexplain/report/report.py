"""What a report holds: plain data, gathered once, that every renderer draws in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from protoexplain.explanations.evidence.local import Explanation
from protoexplain.io.json_values import finite
from protoexplain.report.sections import Accuracy, Gallery, Measure, ModelCard, Refused, Reproduce
from protoexplain.view.explanation_view import ExplanationView

SCHEMA_VERSION = 3
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
    images: tuple[ExplanationView, ...] | None
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
