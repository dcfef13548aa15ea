"""Prototypes that repeat each other, and prototypes that mislead the eye.

The idea is that of Nauta et al. 2020, who publish no thresholds; those here are our own, and can be set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from protoexplain.explanations.characteristics.table import Characteristics

PAIRS: Final = "pairs"
"""Ends the name of their list, after the split, beside the tables of characteristics in a checkpoint's metrics."""
Kind = Literal["redundant", "misleading", "hidden"]
SENTENCES: Final[dict[Kind, str]] = {
    "redundant": "look alike and rest on the same characteristics: one of them may be spared",
    "misleading": "look alike but rest on different characteristics",
    "hidden": "look different but rest on the same characteristics",
}


@dataclass(frozen=True)
class Limits:
    """When patches and explanations count as alike.

    Args:
        looks_alike: Least likeness of patches that look alike, see `appearance.likeness`.
        looks_unlike: Largest likeness of patches that look different.
        explained_alike: Least cosine of calibrated scores that tell the same; no intervals may be apart.
        explained_unlike: Largest cosine of scores that tell different things; some intervals must be apart.
        most: Pairs of each kind that are listed.
    """

    looks_alike: float = 0.7
    looks_unlike: float = 0.3
    explained_alike: float = 0.95
    explained_unlike: float = 0.7
    most: int = 20


@dataclass(frozen=True)
class Pair:
    """Two prototypes.

    Args:
        kind: ``redundant`` (of one class), ``misleading`` (of any), ``hidden`` (of one class).
        first: Number of a prototype.
        second: Number of the other, which is larger.
        look: Likeness of the patches, 0 to 1.
        explanation: Cosine of the calibrated scores, -1 to 1.
    """

    kind: Kind
    first: int
    second: int
    look: float
    explanation: float

    @property
    def sentence(self) -> str:
        return f"prototypes {self.first} and {self.second} {SENTENCES[self.kind]}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def find_pairs(
    found: Characteristics, labels: Sequence[int], looks: NDArray[np.float64], limits: Limits | None = None
) -> tuple[Pair, ...]:
    """All kinds of pairs, the most striking of each first.

    Args:
        found: Global scores of P prototypes.
        labels: [P] classes, -1 where shared by all.
        looks: [P,P] likeness of patches.
        limits: When they are alike.
    """
    limit = limits or Limits()
    value, low, high = (
        np.array(part, dtype=np.float64)
        for part in (found.calibrated.value, found.calibrated.low, found.calibrated.high)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = value / np.linalg.norm(value, axis=1, keepdims=True)
    explained = unit @ unit.T
    apart = np.zeros(explained.shape, dtype=bool)
    for lower, upper in zip(low.T, high.T, strict=True):
        apart |= (lower[:, None] > upper) | (lower > upper[:, None])
    same = np.equal.outer(labels, labels)
    alike, unlike = (explained >= limit.explained_alike) & ~apart, (explained <= limit.explained_unlike) & apart
    kinds: dict[Kind, tuple[NDArray[np.bool_], NDArray[np.float64]]] = {
        "redundant": (same & (looks >= limit.looks_alike) & alike, looks + explained),
        "misleading": ((looks >= limit.looks_alike) & unlike, looks - explained),
        "hidden": (same & (looks <= limit.looks_unlike) & alike, explained - looks),
    }
    return tuple(
        Pair(kind, first, second, round(float(looks[first, second]), 3), round(float(explained[first, second]), 3))
        for kind, (chosen, striking) in kinds.items()
        for first, second in _strongest(np.triu(chosen, 1), striking, limit.most)
    )


def _strongest(chosen: NDArray[np.bool_], striking: NDArray[np.float64], most: int) -> list[tuple[int, int]]:
    rows, columns = chosen.nonzero()
    order = np.argsort(-striking[rows, columns], kind="stable")[:most]
    return [(int(rows[k]), int(columns[k])) for k in order]
