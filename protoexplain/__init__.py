"""Prototype-part image classifiers that say "this looks like that", and tools to check whether it is true."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from protoexplain.api.explained import ImageExplanation
    from protoexplain.api.functions import (
        create_model,
        explain,
        explain_many,
        export,
        list_backbones,
        list_families,
        list_presets,
        load,
        measure,
        train,
    )
    from protoexplain.api.image_explanations import ImageExplanations
    from protoexplain.api.loaded import LoadedModel
    from protoexplain.checkpoint.checkpoint import Checkpoint
    from protoexplain.config import RunConfig, resolve
    from protoexplain.data.read import read_image_set
    from protoexplain.errors import UserError
    from protoexplain.explanations.evidence.local import Explanation
    from protoexplain.explanations.explainer import Explainer
    from protoexplain.metrics.prototype_metrics import PrototypeMetrics
    from protoexplain.metrics.registry import get_metric, list_metrics
    from protoexplain.models.registry import get_family
    from protoexplain.planted import draw
    from protoexplain.training.verify import verify

_HOMES = {
    "Checkpoint": "checkpoint.checkpoint",
    "Explainer": "explanations.explainer",
    "Explanation": "explanations.evidence.local",
    "ImageExplanation": "api.explained",
    "ImageExplanations": "api.image_explanations",
    "LoadedModel": "api.loaded",
    "PrototypeMetrics": "metrics.prototype_metrics",
    "RunConfig": "config",
    "UserError": "errors",
    "create_model": "api.functions",
    "draw": "planted",
    "explain": "api.functions",
    "explain_many": "api.functions",
    "export": "api.functions",
    "get_family": "models.registry",
    "list_backbones": "api.functions",
    "list_families": "api.functions",
    "list_presets": "api.functions",
    "load": "api.functions",
    "measure": "api.functions",
    "get_metric": "metrics.registry",
    "list_metrics": "metrics.registry",
    "read_image_set": "data.read",
    "resolve": "config",
    "train": "api.functions",
    "verify": "training.verify",
}

__all__ = [
    "Checkpoint",
    "Explainer",
    "Explanation",
    "ImageExplanation",
    "ImageExplanations",
    "LoadedModel",
    "PrototypeMetrics",
    "RunConfig",
    "UserError",
    "create_model",
    "draw",
    "explain",
    "explain_many",
    "export",
    "get_family",
    "get_metric",
    "list_backbones",
    "list_families",
    "list_metrics",
    "list_presets",
    "load",
    "measure",
    "read_image_set",
    "resolve",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import public names when they are used, so that `import protoexplain` stays light."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
