"""How evidence of linear heads is counted, by name.

``shapley``: against the usual image, (activation - usual activation) x (weight - mean weight over the classes).
``product``: activation x weight, as published.  Heads that reason by presence and absence (CBC) and heads without
negative weights (PIP-Net, RBF-net) count as published in any case.
"""

from __future__ import annotations

from typing import Final

from protoexplain.errors import UserError, nearest_name
from protoexplain.models.base import PrototypeModel

SHAPLEY: Final = "shapley"
PRODUCT: Final = "product"
WITHOUT_STATISTICS: Final = (
    "evidence is similarity times weight, and each heat map has its own scale, because this checkpoint does"
    " not say what is usual; `protoexplain upgrade` adds that to old ones"
)


def count_evidence(model: PrototypeModel, name: str) -> tuple[str, ...]:
    """Let a model count its evidence in a way.

    Args:
        model: Fresh from its checkpoint.
        name: `SHAPLEY` or `PRODUCT`.

    Returns:
        What a reader of the evidence has to know; empty where it is counted as asked for.

    Raises:
        UserError: No such way.
    """
    if name not in (SHAPLEY, PRODUCT):
        raise UserError(f"evidence cannot be counted as '{name}'", "", nearest_name(name, (SHAPLEY, PRODUCT)))
    if name == PRODUCT:
        model.set_baseline_activations(None)
    elif model.evidence_kind is not model.full_evidence_kind:
        return (WITHOUT_STATISTICS,)
    return ()
