"""Which images train, validate and test: names that splits have, and what is done where one of them is missing."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from protoexplain.data.records import ImageRecord, Split

NAMES: Mapping[Split, tuple[str, ...]] = {
    "train": ("train", "training", "trn", "trainval"),
    "validation": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst", "holdout"),
}
"""What folders and values of a split may be called, in any case, the usual name first."""
_ENDING = re.compile(r"[ _-]?(?:set|split|data|images|imgs)$")
_TEST_SHARE = 0.2


def split_named(name: str) -> Split | None:
    """The split that a name stands for, in any case and with an ending such as ``_set``; None for any other name.

    Example:
        >>> from protoexplain.data.splits import split_named
        >>> [split_named(name) for name in ("Train", "dev", "test_set", "daisy")]
        ['train', 'validation', 'test', None]
    """
    plain = _ENDING.sub("", name.strip().casefold())
    return next((split for split, names in NAMES.items() if plain in names), None)


def split_among(name: str) -> Split | None:
    """The one split that words of a name stand for; None for names without such a word or with those of several.

    Example:
        >>> from protoexplain.data.splits import split_among
        >>> [split_among(name) for name in ("seg_train", "01 Test-Images", "cars", "train and test")]
        ['train', 'test', None, None]
    """
    found = {split for word in re.findall("[^\\W\\d_]+", name) if (split := split_named(word))}
    return found.pop() if len(found) == 1 else None


def completed(records: Sequence[ImageRecord], seed: int) -> tuple[tuple[ImageRecord, ...], bool, str]:
    """Records of which some test the model.

    Where a data set names training and validation images but none to test on, its validation images are the test
    images, as in papers on such sets.  Where it names training images alone, a fifth of each class is set aside, chosen
    by a hash of seed and id: the choice does not depend on the order of files, on other classes or on the machine.

    Args:
        records: With the splits that the data set names; ``train`` where it names none.
        seed: Of the choice.

    Returns:
        The records in the same order, whether the test images were drawn, and a sentence on what was done that may not
        be expected, else an empty one.
    """
    named = {record.split for record in records}
    if "test" in named:
        return tuple(records), False, ""
    if "validation" in named:
        tested = tuple(replace(r, split="test") if r.split == "validation" else r for r in records)
        return tested, False, "the data set has no test images, so its validation images only test the model"
    by_class: dict[int, list[str]] = defaultdict(list)
    for record in records:
        by_class[record.label].append(record.id)
    held_out = {id_ for ids in by_class.values() for id_ in _held_out(ids, seed)}
    return tuple(replace(r, split="test") if r.id in held_out else r for r in records), True, ""


def _held_out(ids: list[str], seed: int) -> list[str]:
    """A fifth of a class, rounded, at least one of two and never all."""
    count = min(max(1, round(_TEST_SHARE * len(ids))), len(ids) - 1)
    return sorted(ids, key=lambda i: hashlib.sha256(f"{seed}|{i}".encode()).digest())[:count]
