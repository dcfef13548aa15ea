"""Look at every image of a data set and report what would spoil training or evaluation."""

from __future__ import annotations

import hashlib
import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from protoexplain.data.records import ImageRecord, ImageSet
from protoexplain.errors import UserError
from protoexplain.io.images import TRANSPARENT, load_image, load_mask
from protoexplain.progress import Progress

FEW_TRAIN = 20
"""With fewer training images of a class, its prototypes are chance."""
SMALL_SIDE = 64
"""Pixels; the features of smaller pictures are a few cells."""
UNBALANCED = 5.0
"""Times as many training images in the largest class as in the smallest."""
_GREY = "grey, which stands for red, green and blue alike"
_AS_MASKS = "the quick-* presets take all but these for the object (data.alpha_masks)"

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class DataReport:
    """What was found; ids are those of the records.

    Args:
        name: Of the data set.
        source: The layout it was read as.
        classes: Class names by label.
        train_counts: Training images by label.
        validation_counts: Validation images by label, where the data set names such images, else zeros.
        test_counts: Test images by label.
        sizes: ``width`` and ``height`` in pixels, each (smallest, median, largest); may be empty.
        problems: What reading the annotations left out, one sentence each.
        remarks: What was decided in reading, one sentence each; no faults.
        unreadable: (id, reason) of images that cannot be decoded.
        few_train: Classes with fewer than `FEW_TRAIN` training images.
        no_test: Classes without a test image.
        in_both_splits: Groups of ids with equal pixels, some in train and some in test.
        in_two_classes: Groups of ids with equal pixels but different labels.
        repeated: Groups of ids with equal pixels in one class and split.
        small: Ids of images whose shorter side is below `SMALL_SIDE`.
        notices: What reading did to pictures -> their ids.
        boxes_clipped: Ids whose box reaches more than a pixel beyond the image; it is clipped.
        boxes_lost: Ids whose box lies wholly outside; they cannot be cut out.
        parts_outside: Ids with a part outside the image.
        masks_missing: Ids without a mask, if any image has one.
        masks_unfit: (id, reason) of masks that cannot be read or have another size than their image.
    """

    name: str
    source: str
    classes: tuple[str, ...]
    train_counts: tuple[int, ...]
    validation_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    sizes: dict[str, tuple[int, float, int]]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    few_train: tuple[str, ...]
    no_test: tuple[str, ...]
    in_both_splits: tuple[tuple[str, ...], ...]
    in_two_classes: tuple[tuple[str, ...], ...]
    repeated: tuple[tuple[str, ...], ...]
    small: tuple[str, ...]
    notices: dict[str, tuple[str, ...]]
    boxes_clipped: tuple[str, ...]
    boxes_lost: tuple[str, ...]
    parts_outside: tuple[str, ...]
    masks_missing: tuple[str, ...]
    masks_unfit: tuple[tuple[str, str], ...]

    @property
    def transparent(self) -> tuple[str, ...]:
        """Ids of images with transparent areas."""
        return self.notices.get(TRANSPARENT, ())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Inspected:
    """One image that was opened: (width, height), digest of its pixels, what was done to it, a fault of its mask."""

    size: tuple[int, int]
    digest: bytes
    notices: tuple[str, ...]
    mask_fault: str | None


def check(image_set: ImageSet, progress: Progress | None = None) -> DataReport:
    """Decode every image once and compare it with its annotations and with all others."""
    results = for_each(image_set.records, _inspect, progress)
    inspected = [(r, s) for r, s in zip(image_set.records, results, strict=True) if isinstance(s, _Inspected)]
    unreadable = [(r.id, s) for r, s in zip(image_set.records, results, strict=True) if isinstance(s, str)]
    train, test = image_set.counts("train"), image_set.counts("test")
    groups = _equal_pixels(inspected)
    masked = any(record.mask for record in image_set.records)
    return DataReport(
        name=image_set.name,
        source=image_set.source,
        classes=image_set.classes,
        train_counts=tuple(train),
        validation_counts=tuple(image_set.counts("validation")),
        test_counts=tuple(test),
        sizes=_sizes([found.size for _, found in inspected]),
        problems=image_set.problems,
        remarks=image_set.remarks,
        unreadable=tuple(unreadable),
        few_train=tuple(name for name, n in zip(image_set.classes, train, strict=True) if n < FEW_TRAIN),
        no_test=tuple(name for name, n in zip(image_set.classes, test, strict=True) if n == 0),
        in_both_splits=tuple(_ids(group) for group in groups if len({r.split for r in group}) > 1),
        in_two_classes=tuple(_ids(group) for group in groups if len({r.label for r in group}) > 1),
        repeated=tuple(_ids(group) for group in groups if len({(r.split, r.label) for r in group}) == 1),
        small=tuple(r.id for r, s in inspected if min(s.size) < SMALL_SIDE),
        notices=_by_notice(inspected),
        boxes_clipped=tuple(r.id for r, s in inspected if _box_state(r, s.size) == "clipped"),
        boxes_lost=tuple(r.id for r, s in inspected if _box_state(r, s.size) == "lost"),
        parts_outside=tuple(r.id for r, s in inspected if _part_outside(r, s.size)),
        masks_missing=tuple(r.id for r in image_set.records if masked and r.mask is None),
        masks_unfit=tuple((r.id, s.mask_fault) for r, s in inspected if s.mask_fault),
    )


def as_text(report: DataReport, shown: int = 5) -> str:
    """The report for people: a summary, then each finding with its first examples."""
    train, test = report.train_counts, report.test_counts
    held = f", {sum(report.validation_counts)} validation" if any(report.validation_counts) else ""
    lines = [
        f"{report.name} (read as '{report.source}'): {len(report.classes)} classes, "
        f"{sum(train)} training{held} and {sum(test)} test images",
        f"training images per class: {_span(train)}; test images per class: {_span(test)}",
    ]
    if report.sizes:
        lines.append("; ".join(f"{side} {_range(values)} px" for side, values in report.sizes.items()))
    lines += report.remarks
    findings: list[tuple[str, Sequence[str]]] = [
        ("images that cannot be read", [f"{id_}: {reason}" for id_, reason in report.unreadable]),
        (f"classes with fewer than {FEW_TRAIN} training images", report.few_train),
        ("classes without test images", report.no_test),
        (
            f"pictures in both training and test{' or validation' if held else ''}",
            [" = ".join(group) for group in report.in_both_splits],
        ),
        ("pictures in more than one class", [" = ".join(group) for group in report.in_two_classes]),
        ("pictures that come twice in a class", [" = ".join(group) for group in report.repeated]),
        (f"pictures with a side below {SMALL_SIDE} pixels, of which a network sees little", report.small),
        (f"pictures whose {TRANSPARENT}; {_AS_MASKS}", report.transparent),
        ("boxes without a pixel of their image, which leaves it out", report.boxes_lost),
        ("boxes partly outside their image (clipped)", report.boxes_clipped),
        ("images with a part outside", report.parts_outside),
        ("images without a mask", report.masks_missing),
        ("masks that do not fit", [f"{id_}: {reason}" for id_, reason in report.masks_unfit]),
    ]
    lines += [f"{title}: {len(ids)} pictures" for title, ids in report.notices.items() if title != TRANSPARENT]
    complaints = [*report.problems, *_balance(report)]
    lines += complaints
    for title, items in findings:
        if items:
            lines.append(f"{title}: {len(items)}")
            lines += [f"    {item}" for item in items[:shown]]
            lines += [f"    ... and {len(items) - shown} more"] if len(items) > shown else []
    if not complaints and not any(items for _, items in findings):
        lines.append("nothing to complain about")
    return "\n".join(lines)


def for_each(items: Sequence[T], work: Callable[[T], R], progress: Progress | None = None) -> list[R]:
    """Results of `work` in order, from a few threads (decoding pictures frees the interpreter)."""
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    try:
        results: list[R] = []
        ordered: Iterable[R] = pool.map(work, items)
        for result in ordered:
            results.append(result)
            if progress:
                progress(len(results), len(items))
        return results
    finally:
        pool.shutdown(cancel_futures=True)


def _inspect(record: ImageRecord) -> _Inspected | str:
    """Open an image and its mask; the reason if the image cannot be read."""
    try:
        image = load_image(record.path)
    except UserError as error:
        return error.what
    digest = hashlib.sha256(repr(image.size).encode() + image.rgb.tobytes()).digest()
    grey = bool((image.rgb == image.rgb[..., :1]).all())
    notices = (*image.notices, *((_GREY,) if grey else ()))
    return _Inspected(image.size, digest, notices, _mask_fault(record, image.size))


def _mask_fault(record: ImageRecord, size: tuple[int, int]) -> str | None:
    if record.mask is None:
        return None
    try:
        height, width = load_mask(record.mask).shape
    except UserError as error:
        return error.what
    if (width, height) != size:
        return f"the mask has {width} x {height} pixels, the image {size[0]} x {size[1]}"
    return None


def _equal_pixels(inspected: list[tuple[ImageRecord, _Inspected]]) -> list[list[ImageRecord]]:
    groups: dict[bytes, list[ImageRecord]] = defaultdict(list)
    for record, found in inspected:
        groups[found.digest].append(record)
    return [group for group in groups.values() if len(group) > 1]


def _balance(report: DataReport) -> list[str]:
    """A sentence where some classes have many times the training images of others."""
    counts = dict(zip(report.classes, report.train_counts, strict=True))
    largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if not counts[largest] or counts[largest] < UNBALANCED * counts[smallest]:
        return []
    return [
        f"classes are not balanced: {counts[largest]} training images of {largest}, {counts[smallest]} of {smallest};"
        " accuracy tells little of small classes"
    ]


def _by_notice(inspected: list[tuple[ImageRecord, _Inspected]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for record, picture in inspected:
        for notice in picture.notices:
            found[notice].append(record.id)
    return {notice: tuple(ids) for notice, ids in found.items()}


def _ids(group: list[ImageRecord]) -> tuple[str, ...]:
    return tuple(record.id for record in group)


def _box_state(record: ImageRecord, size: tuple[int, int]) -> str:
    """``inside`` (up to a pixel of rounding), ``clipped`` or ``lost``."""
    if record.box is None:
        return "inside"
    inner, box = record.box.clipped(*size), record.box
    if inner.area < 1:
        return "lost"
    beyond = max(abs(a - b) for a, b in zip(inner.as_list(), box.as_list(), strict=True))
    return "clipped" if beyond > 1 else "inside"


def _part_outside(record: ImageRecord, size: tuple[int, int]) -> bool:
    spots = [spot for spot in (record.parts or {}).values() if spot]
    return any(not (0 <= x <= size[0] and 0 <= y <= size[1]) for x, y in spots)


def _sizes(sizes: list[tuple[int, int]]) -> dict[str, tuple[int, float, int]]:
    sides = {"width": [size[0] for size in sizes], "height": [size[1] for size in sizes]} if sizes else {}
    return {side: (min(values), statistics.median(values), max(values)) for side, values in sides.items()}


def _range(values: tuple[int, float, int]) -> str:
    return f"{values[0]} to {values[2]}, median {values[1]:g}"


def _span(counts: Sequence[int]) -> str:
    return f"{min(counts)} to {max(counts)}" if counts else "none"
