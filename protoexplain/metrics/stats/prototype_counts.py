"""Prototype sparsity of a described model."""

from __future__ import annotations

from protoexplain.metrics.observe.model_description import ModelDescription


def sparsity_of(description: ModelDescription) -> float:
    """The mean over branches; classes count as one where all of them share the prototypes."""
    classes = 1 if description.ownership.all_shared else len(description.classes)
    return sum(one.sparsity(classes) for one in description.unique) / len(description.unique)
