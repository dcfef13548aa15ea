"""Which parts tell classes apart, from a table of the variant of each part that each class has.

C classes, P parts.  A set of parts is a whole number, bit p of which stands for part p.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

PartSet = int
SHARED_PARTS = 2
"""Parts that either class of a contrast has in common with the class of the image (Hesse et al. 2023)."""


@dataclass(frozen=True)
class PartContrast:
    """Two classes that each share parts with an image, and never the same part.

    Args:
        classes: Labels of the two.
        shared: The parts that each of them shares with the third.
        hybrid: Whether the parts are those of an image that was drawn for the contrast, with parts of both classes.
    """

    classes: tuple[int, int]
    shared: tuple[PartSet, PartSet]
    hybrid: bool = False


@dataclass(frozen=True)
class ClassParts:
    """What classes are made of.

    Args:
        names: Of the P parts.
        variants: For each class the number of its variant of each part, [C][P].
    """

    names: tuple[str, ...]
    variants: tuple[tuple[int, ...], ...]

    def minimal_sufficient_sets(self, label: int, published: bool = False) -> tuple[PartSet, ...]:
        """The smallest sets of parts that tell a class from all others (Hesse et al. 2023).

        A set is sufficient if no other class has the same variants of all of its parts, and minimal if it holds no
        smaller such set.

        Args:
            label: Of the class.
            published: Without any set for the last class, as the published program finds.
        """
        if published and label == len(self.variants) - 1:
            return ()
        shared = {self.shared(label, other) for other in range(len(self.variants)) if other != label}
        return _minimal_sets(frozenset(shared), len(self.names))

    def contrast(self, label: int) -> PartContrast | None:
        """The first two classes, in order, that share two parts each with a class, and no part both; None without."""
        sharing = [
            (other, common)
            for other in range(len(self.variants))
            if other != label and (common := self.shared(label, other)).bit_count() == SHARED_PARTS
        ]
        pairs = combinations(sharing, 2)
        return next((PartContrast((a, b), (of_a, of_b)) for (a, of_a), (b, of_b) in pairs if not of_a & of_b), None)

    def shared(self, label: int, other: int) -> PartSet:
        """The parts of which two classes have the same variant."""
        pairs = zip(self.variants[label], self.variants[other], strict=True)
        return part_set(part for part, (own, its) in enumerate(pairs) if own == its)


@lru_cache(maxsize=1024)
def _minimal_sets(shared: frozenset[PartSet], count: int) -> tuple[PartSet, ...]:
    """The smallest sets of so many parts that lie in none of the shared ones."""
    found: list[PartSet] = []
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            parts = part_set(chosen)
            if all(parts & ~common for common in shared) and not any(smaller & parts == smaller for smaller in found):
                found.append(parts)
    return tuple(found)


def part_set(parts: Iterable[int]) -> PartSet:
    """The set of some parts, by number."""
    return sum(1 << part for part in parts)


def members_of(parts: PartSet) -> list[int]:
    """The numbers of the parts in a set, ascending."""
    return [part for part in range(parts.bit_length()) if parts >> part & 1]
