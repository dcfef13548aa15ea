"""Small grey pictures as folders of classes: scikit-learn's digits, and Fashion-MNIST from Debian's package.

`python -m benchmarks.grey_pictures digits FOLDER` enlarges the 8 x 8 grey levels to 28 x 28 with bicubic interpolation;
they come without a division, which is then drawn by the program.  `python -m benchmarks.grey_pictures fashion FOLDER`
takes the pictures as they are, after `apt-get install dataset-fashion-mnist`, and keeps their division; `--train` and
`--test` take only the first so many of each class.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
from PIL import Image

FASHION = Path("/usr/share/datasets/fashion-mnist")
CLOTHES = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
SIDE = 28
_HEADS = {"images": 16, "labels": 8}
"""Bytes before the numbers of an IDX file."""


def write_digits(folder: Path, most: int | None = None) -> None:
    """1,797 pictures, or the first so many, as FOLDER/CLASS/NUMBER.png."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (levels, label) in enumerate(zip(digits.images[:most], digits.target[:most].tolist(), strict=True)):
        grey = Image.fromarray((levels * 255 / 16).round().astype(np.uint8))
        _save(grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC), folder / str(label) / f"{number:04}.png")


def write_fashion(folder: Path, train: int | None, test: int | None, source: Path = FASHION) -> None:
    """At most `train` and `test` pictures of each class, as FOLDER/train/CLASS/NUMBER.png and FOLDER/test/...."""
    for part, prefix, most in (("train", "train", train), ("test", "t10k", test)):
        pictures = _numbers(source / f"{prefix}-images-idx3-ubyte.gz", "images").reshape(-1, SIDE, SIDE)
        labels = _numbers(source / f"{prefix}-labels-idx1-ubyte.gz", "labels")
        for label, name in enumerate(CLOTHES):
            for number in np.flatnonzero(labels == label)[:most].tolist():
                _save(Image.fromarray(pictures[number]), folder / part / name / f"{number:05}.png")


def _numbers(path: Path, kind: str) -> np.ndarray:
    with gzip.open(path) as file:
        return np.frombuffer(file.read()[_HEADS[kind] :], np.uint8)


def _save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("digits", "fashion"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, help="pictures of each class; all by default")
    parser.add_argument("--test", type=int)
    given = parser.parse_args()
    if given.what == "digits":
        write_digits(given.folder)
    else:
        write_fashion(given.folder, given.train, given.test)


if __name__ == "__main__":
    main()
