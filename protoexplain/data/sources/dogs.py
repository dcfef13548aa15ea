"""Stanford Dogs (Khosla et al., 2011): `Images/`, `Annotation/` with one XML file per image, and two lists.

An image with several annotated dogs gets the box of the first, as in the crops that others publish; such
images are counted.  Boxes are xmin, ymin, xmax, ymax and taken as edges counted from 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

from protoexplain.data import tree
from protoexplain.data.geometry import Box
from protoexplain.data.matlab import read_mat
from protoexplain.data.records import ImageRecord, ImageSet, Split
from protoexplain.data.source import Problems, Source, annotated_box, image_id, listed_file, plain_name, whole_label
from protoexplain.errors import UserError
from protoexplain.io.manifest import read_limited

_LISTS: tuple[tuple[Split, str], ...] = (("train", "train_list.mat"), ("test", "test_list.mat"))
_AGAIN = "unpack the archives of images, annotation and lists of one release into this folder"
_MAX_XML = 100_000


def _find(root: Path, name: str) -> Path | None:
    return next((folder / name for folder in (root, root / "lists") if (folder / name).exists()), None)


def _folder_of(root: Path, name: str) -> Path | None:
    """`Images/` or `Annotation/`; other releases have them in other case, with an s, or within folders so named."""
    plain = name.casefold().rstrip("s")
    found = next((folder for folder in tree.folders(root) if folder.name.casefold().rstrip("s") == plain), None)
    return found and (_folder_of(found, name) or found)


def _required(root: Path, name: str, find: Callable[[Path, str], Path | None]) -> Path:
    path = find(root, name)
    if path is None:
        raise UserError(f"'{name}' is missing", str(root), f"{_AGAIN}; expected {SOURCE.expected}")
    return path


def detect(root: Path) -> bool:
    published = (root / "Images").is_dir() and (root / "Annotation").is_dir()
    return published or (_find(root, "train_list.mat") is not None and _folder_of(root, "Images") is not None)


def read(root: Path, seed: int = 0) -> ImageSet:
    """Read lists and boxes.  The published split is used, so the seed has no effect.

    Raises:
        UserError: A list or folder is missing or damaged; labels and folders disagree; no image is left.
    """
    problems = Problems()
    images, annotations = _required(root, "Images", _folder_of), _required(root, "Annotation", _folder_of)
    entries: list[tuple[Split, str, int]] = []
    for split, name in _LISTS:
        listing = _required(root, name, _find)
        files, labels = read_mat(listing, "file_list", "labels")
        if len(files) != len(labels):
            raise UserError(f"{len(files)} files but {len(labels)} labels", str(listing), _AGAIN)
        entries += _entries(split, files, labels, problems)

    total = len(entries) + problems.unusable.total()
    folders = _folders(entries)
    label_of = {published: label for label, published in enumerate(sorted(filter(folders.get, folders)))}
    records = []
    for split, file, published in entries:
        if _folder(file) != folders[published]:
            what = f"label {published} stands for '{folders[published]}' and for '{_folder(file)}'"
            problems.leave_out("images with another label than their folder, left out", f"{file}: {what}")
            continue
        path = listed_file(images, file)
        if path is None:
            problems.add("images listed but not found, left out", file)
            continue
        box = _box(annotations / PureWindowsPath(file).with_suffix("").as_posix(), file, problems)
        if box:
            records.append(ImageRecord(image_id(path, root), path, label_of[published], split, box))
    problems.require_few(total, root, _AGAIN)
    if not records:
        raise UserError("no listed image is there with its annotation", str(images), _AGAIN)
    names = tuple(plain_name(folders[label].partition("-")[2] or folders[label]) for label in label_of)
    return ImageSet("stanford_dogs", root, "dogs", names, tuple(records), problems=problems.sentences())


def _entries(
    split: Split, files: Iterable[object], labels: Iterable[object], problems: Problems
) -> list[tuple[Split, str, int]]:
    """Split, file and published label of each line of a list that has a class folder and a number."""
    entries = []
    for file, label in zip(files, labels, strict=True):
        try:
            if len(PureWindowsPath(str(file)).parts) < 2 or "\0" in str(file):
                raise ValueError("no folder and file")
            entries.append((split, str(file), whole_label(label)))
        except (ValueError, OverflowError) as error:
            problems.leave_out("entries of the lists that cannot be used, left out", f"{str(file)[:60]!r}: {error}")
    return entries


def _folder(file: str) -> str:
    return PureWindowsPath(file).parts[0]


def _folders(entries: list[tuple[Split, str, int]]) -> dict[int, str]:
    """Class folder of each published label: that of most of its images, or none where it is that of another label."""
    seen: dict[int, Counter[str]] = defaultdict(Counter)
    for _, file, label in entries:
        seen[label][_folder(file)] += 1
    folders = {label: found.most_common(1)[0][0] for label, found in seen.items()}
    most: dict[str, int] = {}
    for label, folder in sorted(folders.items(), key=lambda entry: seen[entry[0]][entry[1]]):
        most[folder] = label
    return {label: folder if most[folder] == label else "" for label, folder in folders.items()}


def _box(path: Path, file: str, problems: Problems) -> Box | None:
    """The first box of an annotation file; None, and counted, if there is none that can be used."""
    try:
        text = read_limited(next(filter(Path.exists, (path, path.with_name(f"{path.name}.xml"))), path), _MAX_XML)
        if b"<!ENTITY" in text:
            raise ValueError("not a plain annotation")
        boxes = ElementTree.fromstring(text).findall("object/bndbox")  # noqa: S314 - small and without entities
        corners = [float(boxes[0].findtext(name, "")) for name in ("xmin", "ymin", "xmax", "ymax")]
    except (UserError, OSError, ValueError, LookupError, ElementTree.ParseError):
        problems.leave_out("images without a usable annotation file, left out", file)
        return None
    try:
        box = annotated_box(*corners)
    except ValueError as error:
        problems.leave_out("images with an impossible box, left out", f"{file}: {error}")
        return None
    if len(boxes) > 1:
        problems.add("images with several boxes, the first is used", file)
    return box


SOURCE = Source(
    "dogs",
    detect,
    read,
    "Images/<class>/*.jpg, Annotation/<class>/*, train_list.mat, test_list.mat (Stanford Dogs)",
)
