"""Pictures in plain tar files, in the layout of WebDataset: members of one sample have one name and several suffixes.

``000.tar`` holds ``0001.jpg`` and ``0001.cls`` (the number or name of the class) or ``0001.json`` (with the key
``label``, ``cls``, ``class`` or ``class_name``).  Where all classes are numbers (``01`` is ``1``), the lines of
``classes.txt`` may be their names.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from protoexplain.data.records import ImageRecord, ImageSet, Split
from protoexplain.data.source import Problems, Source, class_names, image_id, is_storable
from protoexplain.data.splits import completed, split_among, split_named
from protoexplain.data.tree import files, folders
from protoexplain.errors import UserError
from protoexplain.io.images import SUFFIXES
from protoexplain.io.left_behind import is_left_behind
from protoexplain.io.manifest import read_limited
from protoexplain.io.shards import is_shard, members_of, open_file

CLASSES = "classes.txt"
_KEYS = ("label", "cls", "class", "class_name")
_MAX_LABEL = 1 << 16
"""Bytes of a member that names a class."""
_MAX_CLASSES = 1 << 20
"""Bytes of the list of classes."""
_MEND = "mend these members, or leave them out; unpack tar files in which folders tell the classes"


def detect(root: Path) -> bool:
    """At least one tar file, here or in folders that are named as splits."""
    return any(True for _ in _shards(root))


def read(root: Path, seed: int = 0) -> ImageSet:
    """Read where members lie and which classes they name; `seed` chooses the test images where no file is named as
    test or validation.

    Raises:
        UserError: A tar file that is damaged or refused, too many samples that cannot be used, or fewer than two
            classes.
    """
    problems = Problems()
    found: list[tuple[str, Path, str, Split]] = []
    total = 0
    for shard, split in _shards(root):
        samples = _samples(shard, root, problems)
        total += len(samples)
        for key, parts in sorted(samples.items()):
            place = f"{image_id(shard, root)}/{key}"
            if not is_storable(place):
                problems.leave_out("samples with control or undecodable characters in their names", _printable(place))
                continue
            picture = next((parts[suffix] for suffix in sorted(SUFFIXES) if suffix in parts), None)
            if picture is None:
                problems.leave_out("samples without a picture, left out", place)
                continue
            try:
                found.append((image_id(picture, root), picture, _label(parts), split))
            except ValueError as error:
                problems.leave_out("samples whose class is not known, left out", f"{place}: {error}")
    problems.require_few(total, root, _MEND)
    if _numbered({label for _, _, label, _ in found}):
        found = [(id_, path, str(int(label)), split) for id_, path, label, split in found]
    labels = _ordered({label for _, _, label, _ in found})
    if len(labels) < 2:
        raise UserError(f"{len(labels)} classes were found; at least two are needed", str(root), SOURCE.expected)
    number = {label: place for place, label in enumerate(labels)}
    records = [ImageRecord(id_, path, number[label], split) for id_, path, label, split in found]
    completed_, drawn, remark = completed(records, seed)
    title, remarks = root.resolve().name, (remark,) if remark else ()
    return ImageSet(title, root, "shards", _names(root, labels), completed_, (), problems.sentences(), drawn, remarks)


def _shards(root: Path) -> Iterator[tuple[Path, Split]]:
    """Tar files with their splits, by the name of their folder or a word of their own."""
    for path in sorted(files(root, deep=False)):
        if is_shard(path):
            yield path, split_among(path.stem) or "train"
    for folder in folders(root):
        if split := split_named(folder.name):
            yield from ((path, split) for path in sorted(files(folder, deep=False)) if is_shard(path))


def _samples(shard: Path, root: Path, problems: Problems) -> Mapping[str, Mapping[str, Path]]:
    """Members by the name of their sample, up to the first dot, and their suffix in lower case; the first of a kind."""
    samples: dict[str, dict[str, Path]] = defaultdict(dict)
    for name in members_of(shard):
        path = PurePosixPath(name)
        if not any(map(is_left_behind, path.parts)):
            stem, _, suffix = path.name.partition(".")
            parts, kind = samples[path.with_name(stem).as_posix()], f".{suffix.lower()}"
            if kind in parts:
                place = _printable(image_id(shard / name, root))
                problems.add("members whose name differs from an earlier one's in case alone, not used", place)
            else:
                parts[kind] = shard / name
    return samples


def _printable(place: str) -> str:
    return place if is_storable(place) else ascii(place)[1:-1]


def _label(parts: Mapping[str, Path]) -> str:
    """The number or name of the class of a sample.

    Raises:
        ValueError: Says what is wrong.
    """
    if ".cls" in parts:
        label: object = _text(parts[".cls"]).strip()
    elif ".json" in parts:
        try:
            table = json.loads(_text(parts[".json"]))
        except RecursionError as error:
            raise ValueError("its JSON is nested too deeply") from error
        if not isinstance(table, dict):
            raise ValueError("its JSON is no table")
        label = next((table[key] for key in _KEYS if key in table), None)
    else:
        raise ValueError("there is no .cls and no .json")
    if isinstance(label, bool) or not isinstance(label, str | int) or label == "" or not is_storable(str(label)):
        raise ValueError("it names no class")
    return str(label)


def _text(member: Path) -> str:
    try:
        with open_file(member) as stream:
            content = stream.read(_MAX_LABEL + 1)
    except UserError as error:
        raise ValueError(error.what) from error
    if len(content) > _MAX_LABEL:
        raise ValueError(f"{member.name} has more than {_MAX_LABEL:,} bytes")
    return content.decode()


def _ordered(labels: set[str]) -> list[str]:
    """By number where all are numbers, else by name."""
    return sorted(labels, key=int) if _numbered(labels) else sorted(labels)


def _numbered(labels: set[str] | list[str]) -> bool:
    return all(re.fullmatch(r"[0-9]{1,9}", label) for label in labels)


def _names(root: Path, labels: list[str]) -> tuple[str, ...]:
    """Names of classes, from the list where there is one.

    Raises:
        UserError: The list cannot be used.
    """
    listed = root / CLASSES
    if not (_numbered(labels) and listed.is_file()):
        return class_names(labels)
    try:
        lines = read_limited(listed, _MAX_CLASSES).decode().splitlines()
        names = [lines[int(label)].strip() for label in labels]
    except (UnicodeDecodeError, IndexError) as error:
        what = f"the list has no line for class {labels[-1]}" if isinstance(error, IndexError) else "it is no UTF-8"
        raise UserError(
            what, str(listed), "write a line for each class, in the order of their numbers from 0"
        ) from error
    if not all(map(is_storable, names)):
        raise UserError("the list has control characters", str(listed), "write plain names")
    return class_names(names)


SOURCE = Source(
    "shards",
    detect,
    read,
    "plain tar files in the layout of WebDataset, each picture with its class in .cls or .json beside it",
    generic=True,
)
