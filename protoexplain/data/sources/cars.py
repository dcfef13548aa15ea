"""Stanford Cars (Krause et al., 2013) in both published layouts.

Either `cars_train/`, `cars_test/` and `devkit/`, or `car_ims/` with one `cars_annos.mat`.  The devkit was
published without labels of the test images; they came in a separate file.  Boxes are x1, y1, x2, y2, counted
from 1 with the last pixel included.
"""

from __future__ import annotations

from pathlib import Path

from protoexplain.data.matlab import fields, read_mat
from protoexplain.data.records import ImageRecord, ImageSet, Split
from protoexplain.data.source import Problems, Source, annotated_box, class_names, image_id, listed_file, whole_label
from protoexplain.errors import UserError

_SINGLE, _META = "cars_annos.mat", "cars_meta.mat"
_TRAIN, _TEST, _UNLABELLED = "cars_train_annos.mat", "cars_test_annos_withlabels.mat", "cars_test_annos.mat"
_AGAIN = "copy the annotations again; all files must be of one release"
_BOX = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")


def _find(root: Path, name: str) -> Path | None:
    """A file or folder in the root or the devkit; mirrors wrap some folders in another of the same name."""
    places = (root / folder / name for folder in (".", "devkit", "car_devkit/devkit"))
    path = next(filter(Path.exists, places), None)
    return path / name if path and (path / name).is_dir() else path


def detect(root: Path) -> bool:
    return any(_find(root, name) for name in (_SINGLE, _TRAIN))


def _required(root: Path, name: str, fix: str = "unpack all archives into this folder") -> Path:
    path = _find(root, name)
    if path is None:
        raise UserError(f"'{name}' is missing", str(root), f"{fix}; expected {SOURCE.expected}")
    return path


def read(root: Path, seed: int = 0) -> ImageSet:
    """Read the annotations.  The published split is used, so the seed has no effect.

    Raises:
        UserError: A file or folder is missing or damaged; the test images have no labels; no image is left.
    """
    problems = Problems()
    records: list[ImageRecord] = []
    if _find(root, _SINGLE) and _find(root, "car_ims"):
        annotations = _required(root, _SINGLE)
        (classes,) = read_mat(annotations, "class_names")
        records += _records(root, annotations, _required(root, "car_ims").parent, len(classes), problems)
    else:
        (classes,) = read_mat(_required(root, _META), "class_names")
        labelled = (
            f"'{_UNLABELLED}' has no labels; put '{_TEST}' (published with the test annotations) beside it"
            if _find(root, _UNLABELLED)
            else f"put '{_TEST}' into the folder"
        )
        parts: tuple[tuple[Split, Path, Path], ...] = (
            ("train", _required(root, _TRAIN), _required(root, "cars_train")),
            ("test", _required(root, _TEST, labelled), _required(root, "cars_test")),
        )
        for split, annotations, images in parts:
            records += _records(root, annotations, images, len(classes), problems, split)
    problems.require_few(len(records) + sum(map(len, problems.examples.values())), root, _AGAIN)
    if not records:
        raise UserError("none of the annotated images is there", str(root), f"expected {SOURCE.expected}")
    names = class_names(list(map(str, classes)))
    return ImageSet("stanford_cars", root, "cars", names, tuple(records), problems=problems.sentences())


def _records(
    root: Path, annotations: Path, images: Path, classes: int, problems: Problems, split: Split | None = None
) -> list[ImageRecord]:
    """Records of one annotation file; without `split` its own `test` marks are used."""
    (rows,) = read_mat(annotations, "annotations")
    names, labels, *corners = fields(rows, ("fname" if split else "relative_im_path", "class", *_BOX), annotations)
    tests = [int(split == "test")] * len(names) if split else fields(rows, ("test",), annotations)[0]
    records = []
    for name, label, test, *corner in zip(names, labels, tests, *corners, strict=True):
        try:
            number, tests_it, (x1, y1, x2, y2) = whole_label(label), whole_label(test), map(float, corner)
            if not 1 <= number <= classes:
                raise ValueError(f"class {number} of {classes}")
            box = annotated_box(x1 - 1, y1 - 1, x2, y2)
        except (ValueError, TypeError, OverflowError) as error:
            problems.leave_out("images with an impossible box or class, left out", f"{str(name)[:60]!r}: {error}")
            continue
        path = listed_file(images, str(name))
        if path is None:
            problems.add("images annotated but not found, left out", str(name))
        else:
            marked: Split = "test" if tests_it else "train"
            records.append(ImageRecord(image_id(path, root), path, number - 1, marked, box))
    return records


SOURCE = Source(
    "cars",
    detect,
    read,
    f"cars_train/, cars_test/, devkit/ with {_META} and {_TRAIN}, {_TEST}; or car_ims/, {_SINGLE}",
)
