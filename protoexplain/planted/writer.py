"""Write planted birds as a CUB-200-2011 folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import cv2

from protoexplain.data.records import Split
from protoexplain.errors import UserError
from protoexplain.planted.classes import PARTS, REGION_PARTS, REGIONS, Plan, plan
from protoexplain.planted.picture import Rendering, render

SETTINGS_FILE: Final = "planted.json"
_DRAWING: Final = 1  # to be raised whenever the same settings give other pictures
_JPEG: Final = [
    cv2.IMWRITE_JPEG_QUALITY, 92,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Item:
    """One picture to be drawn: class index, split, number within both, and its file without ending."""

    bird: int
    split: Split
    number: int
    stem: str


def draw(
    out: str | Path,
    *,
    classes: int = 20,
    train_per_class: int = 30,
    test_per_class: int = 10,
    size: int = 224,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw the planted birds into a new folder, in the layout of CUB-200-2011.

    A finished set with the same settings is left as it is.

    Args:
        out: Folder to be made.  It appears only when everything is written.
        classes: Number of classes, even because they come in twins.
        train_per_class: Training images of each class.
        test_per_class: Test images of each class.
        size: Side of the square images in pixels, at least 32.
        seed: Equal seeds give equal files.  More images or classes do not change those there were.
        progress: Called as progress(images done, images in all) after each image.

    Raises:
        UserError: An argument is out of range, or `out` holds something else.

    Example:
        >>> import protoexplain as px
        >>> px.draw("drawn", classes=2, train_per_class=1, test_per_class=1, size=32)
        >>> px.read_image_set("drawn").counts("train")
        [1, 1]
    """
    settings = {
        "format": "planted birds",
        "drawing": _DRAWING,
        "classes": classes,
        "train_per_class": train_per_class,
        "test_per_class": test_per_class,
        "size": size,
        "seed": seed,
    }
    _check(classes, train_per_class, test_per_class, size, seed)
    out = Path(out)
    if _already_there(out, settings):
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        scratch.chmod(0o755)
        _write(scratch, plan(classes, seed), settings, progress)
        if out.exists():
            out.rmdir()
        scratch.rename(out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def image_seed(seed: int, split: Split, bird: int, number: int) -> tuple[int, ...]:
    """The seed with which `draw` renders image `number` (from 0) of class index `bird` in a split."""
    return (seed, 3 if split == "train" else 4, bird, number)


def _check(classes: int, train_per_class: int, test_per_class: int, size: int, seed: int) -> None:
    if classes < 2 or classes % 2:
        raise UserError(
            f"{classes} classes cannot be drawn",
            "classes",
            "give an even number from 2: classes come in twins",
        )
    for name, value, least in (
        ("train_per_class", train_per_class, 1),
        ("test_per_class", test_per_class, 1),
        ("size", size, 32),
        ("seed", seed, 0),
    ):
        if value < least:
            raise UserError(f"{name} is {value}", name, f"give a whole number from {least}")


def _already_there(out: Path, settings: dict[str, Any]) -> bool:
    """Whether `out` is the finished data set; False if nothing is there, UserError if something else is."""
    if not out.exists():
        return False
    if not out.is_dir():
        raise UserError(f"'{out.name}' is a file", str(out), "give a folder that does not exist yet")
    if not any(out.iterdir()):
        return False
    try:
        found = json.loads((out / SETTINGS_FILE).read_text())
    except (OSError, ValueError):
        raise UserError("the folder is not empty", str(out), "give a folder that does not exist yet") from None
    if found != settings:
        raise UserError(
            "the folder holds planted birds that were drawn with other settings",
            str(out / SETTINGS_FILE),
            "give another folder, the same settings, or remove this one",
        )
    return True


def _write(root: Path, plan: Plan, settings: dict[str, Any], progress: Callable[[int, int], None] | None) -> None:
    folders = [f"{index:03d}.{bird.name}" for index, bird in enumerate(plan.birds, start=1)]
    for folder in folders:
        (root / "images" / folder).mkdir(parents=True)
        (root / "segmentations" / folder).mkdir(parents=True)
    counts: tuple[tuple[Split, int], ...] = (
        ("train", settings["train_per_class"]),
        ("test", settings["test_per_class"]),
    )
    items = []
    for bird, folder in enumerate(folders):
        serial = 0
        for split, count in counts:
            for number in range(count):
                serial += 1
                items.append(_Item(bird, split, number, f"{folder}/{plan.birds[bird].name}_{serial:04d}"))
    boxes, locations = [], []
    for done, item in enumerate(items, start=1):
        seed = image_seed(settings["seed"], item.split, item.bird, item.number)
        drawn = render(plan.birds[item.bird], seed, settings["size"])
        _save(root, item.stem, drawn)
        box = drawn.box
        boxes.append(f"{done} {box.x0:.1f} {box.y0:.1f} {box.width:.1f} {box.height:.1f}")
        locations += [f"{done} {part} {_place(drawn.parts[name])}" for part, name in enumerate(PARTS, start=1)]
        if progress is not None:
            progress(done, len(items))
    _lines(root / "images.txt", [f"{k} {item.stem}.jpg" for k, item in enumerate(items, start=1)])
    _lines(root / "image_class_labels.txt", [f"{k} {item.bird + 1}" for k, item in enumerate(items, start=1)])
    split_flags = [f"{k} {int(item.split == 'train')}" for k, item in enumerate(items, start=1)]
    _lines(root / "train_test_split.txt", split_flags)
    _lines(root / "classes.txt", [f"{k} {folder}" for k, folder in enumerate(folders, start=1)])
    _lines(root / "bounding_boxes.txt", boxes)
    _lines(root / "parts" / "parts.txt", [f"{k} {name}" for k, name in enumerate(PARTS, start=1)])
    _lines(root / "parts" / "part_locs.txt", locations)
    (root / "class_attributes.json").write_text(json.dumps(_attributes(plan, folders), indent=1) + "\n")
    (root / SETTINGS_FILE).write_text(json.dumps(settings, indent=1) + "\n")


def jpeg(drawn: Rendering) -> bytes:
    """The file of a picture."""
    return cv2.imencode(".jpg", cv2.cvtColor(drawn.image, cv2.COLOR_RGB2BGR), _JPEG)[1].tobytes()


def _save(root: Path, stem: str, drawn: Rendering) -> None:
    (root / "images" / f"{stem}.jpg").write_bytes(jpeg(drawn))
    png = cv2.imencode(".png", drawn.mask.astype("uint8") * 255)[1]
    (root / "segmentations" / f"{stem}.png").write_bytes(png.tobytes())


def _place(point: tuple[float, float] | None) -> str:
    return "0.0 0.0 0" if point is None else f"{point[0]:.1f} {point[1]:.1f} 1"


def _lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def _attributes(plan: Plan, folders: list[str]) -> dict[str, Any]:
    return {
        "regions": {region: list(parts) for region, parts in REGION_PARTS.items()},
        "classes": [
            {
                "id": index,
                "name": folder,
                "regions": {
                    region: asdict(appearance) for region, appearance in zip(REGIONS, bird.appearances, strict=True)
                },
            }
            for index, (bird, folder) in enumerate(zip(plan.birds, folders, strict=True), start=1)
        ],
        "pairs": [
            {
                "classes": [twins.classes[0] + 1, twins.classes[1] + 1],
                "region": twins.region,
                "part": REGION_PARTS[twins.region][0],
                "parts": list(REGION_PARTS[twins.region]),
                "attribute": twins.attribute,
                "values": list(twins.values),
            }
            for twins in plan.twins
        ],
    }
