"""The only image reader: a file from anywhere becomes upright 8-bit RGB, or one sentence says why not.  Pictures in tar
files are read in place (`protoexplain.io.shards`).

Formats and size are checked before a pixel is decoded.  Pictures of more than `MOST_KEPT` pixels are read at half
their size; a JPEG is never decoded larger than that.  Colour profiles are not applied, as is usual for image
classifiers.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from protoexplain.errors import UserError
from protoexplain.io.pixels import eight_bits_a_channel, is_sixteen_bit
from protoexplain.io.shards import open_file, shard_of
from protoexplain.io.signatures import is_heic, what_it_is

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""Those that are always read; HEIC is where the package pillow-heif is installed."""
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif", ".gif", ".bmp", ".tif", ".tiff"})
"""Of files that count as pictures."""
MAX_PIXELS = 64_000_000
MOST_KEPT = 25_000_000
"""Larger pictures are halved in width and height as they are read."""

_SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height; of a TIFF, Pillow tells the upright size."""
_GROUND = (128, 128, 128)
"""Behind transparent areas: black and white things show on it alike."""
TRANSPARENT = "transparent areas were put on grey"
_HALVED = f"more than {MOST_KEPT // 1_000_000} million pixels were halved in width and height"
_FIRST_FRAME = "the file has several frames; only the first is used"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedImage:
    """An image as the rest of the package sees it.

    Args:
        rgb: uint8 [H, W, 3], upright.
        size: (width, height) of the upright file in pixels, of which coordinates speak; that of `rgb`, or twice that.
        notices: What was done to the picture that its owner may want to know, one sentence each.
    """

    rgb: np.ndarray
    size: tuple[int, int]
    notices: tuple[str, ...] = ()

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of `rgb` for a pixel of the file, along x and y."""
        return self.rgb.shape[1] / self.size[0], self.rgb.shape[0] / self.size[1]

    def region(self, edges: Sequence[float]) -> np.ndarray:
        """What lies between left, top, right and bottom in pixels of the file: uint8 [h, w, 3], contiguous."""
        across, down = self.scale
        x0, y0, x1, y1 = map(int, np.multiply(edges, [across, down, across, down]))
        return np.ascontiguousarray(self.rgb[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)])


def load_image(file: Path | BinaryIO) -> LoadedImage:
    """Read a picture: upright by EXIF, transparency on grey, 16-bit values and numbers from 0 to 1 rescaled, first
    frame only.

    Raises:
        UserError: For everything that cannot be read or is larger than `MAX_PIXELS`; no other exception.
    """
    with _opened(file) as image:
        sixteen, size = is_sixteen_bit(image), _upright_size(image)
        halved = image.width * image.height > MOST_KEPT
        drafted = halved and image.draft(None, (image.width // 2, image.height // 2)) is not None
        image.load()
        animated = getattr(image, "is_animated", False) and image.format not in ("MPO", "HEIF")
        notices = [*_turned_upright(image), *([_FIRST_FRAME] if animated else [])]
        shown, done = eight_bits_a_channel(image, sixteen, _name(file))
        notices += done
        if halved and not drafted:
            shown = shown.reduce(2)
        if shown.has_transparency_data:
            shown = shown.convert("RGBA")
            if shown.getchannel("A").getextrema() != (255, 255):
                notices.append(TRANSPARENT)
            shown = Image.alpha_composite(Image.new("RGBA", shown.size, _GROUND), shown)
        if halved:
            notices.append(_HALVED)
        return LoadedImage(np.array(shown.convert("RGB")), size, tuple(notices))


def load_mask(file: Path | BinaryIO) -> np.ndarray:
    """Read a segmentation picture: bool [H, W], True where any colour channel (or palette index) is not zero.

    Raises:
        UserError: As `load_image`.
    """
    with _opened(file) as image:
        image.load()
        _turned_upright(image)
        values = np.asarray(image)
        if values.ndim == 2:
            return np.asarray(values != 0)
        if image.mode in ("LA", "RGBA", "PA"):
            return np.asarray(values[..., :-1].any(axis=-1) & (values[..., -1] != 0))
        return np.asarray(values.any(axis=-1))


def has_alpha(file: Path | BinaryIO) -> bool:
    """Whether a picture may have transparent areas, from the head of the file alone; False where it cannot be read."""
    try:
        with _opened(file) as image:
            return image.has_transparency_data
    except UserError:
        return False


def load_alpha(file: Path | BinaryIO) -> np.ndarray:
    """Where a picture is not transparent, or by less than half: bool [H, W].

    Raises:
        UserError: As `load_image`.
    """
    with _opened(file) as image:
        image.load()
        _turned_upright(image)
        return np.asarray(image.convert("RGBA").getchannel("A")) >= 128


def image_size(file: Path | BinaryIO) -> tuple[int, int]:
    """(width, height) of the upright picture in pixels, from the head of the file alone.

    Raises:
        UserError: As `load_image`, for what the head shows.
    """
    with _opened(file) as image:
        return _upright_size(image)


def verify_image(file: Path | BinaryIO) -> tuple[int, int]:
    """Decode a picture to the end, coarsely where its format allows, to learn whether it can be read.

    Returns:
        (width, height) of the upright picture in pixels.

    Raises:
        UserError: As `load_image`.
    """
    with _opened(file) as image:
        if image.format == "JPEG":
            size = _upright_size(image)
            image.draft("RGB", (image.width // 8, image.height // 8))
            image.load()
            return size
    return load_image(file).size


def sha256_of(file: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes.

    Raises:
        UserError: If the file cannot be read.
    """
    try:
        with open_file(file) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}", str(file)) from error


@contextmanager
def _opened(file: Path | BinaryIO) -> Iterator[Image.Image]:
    """Open with all limits on; whatever goes wrong until the block ends becomes a UserError."""
    try:
        if isinstance(file, Path) and file.exists() and not file.is_file():
            what = "this is a folder" if file.is_dir() else "this is no file"
            raise UserError(f"{what}, where a picture is expected", str(file), "give the files of pictures")
        formats = _formats(file)
        content = open_file(file) if isinstance(file, Path) and shard_of(file) else file
        with Image.open(content, formats=formats) as image:
            if not 0 < image.width * image.height <= MAX_PIXELS:
                raise _too_large(file, f"{image.width} x {image.height} pixels")
            yield image
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(file, "far too many pixels") from error
    except Exception as error:
        raise UserError(_reason(file, error), _name(file), "replace the file or leave it out") from error


def _formats(file: Path | BinaryIO) -> tuple[str, ...]:
    """What is tried: HEIC files alone make the package that reads them load.

    Raises:
        UserError: It is not installed.
    """
    if not is_heic(_head(file)):
        return FORMATS
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError as error:
        what = "HEIC pictures are read where the package pillow-heif is installed"
        raise UserError(what, _name(file), "pip install pillow-heif, or save the picture as JPEG") from error
    return ("HEIF",)


def _too_large(file: Path | BinaryIO, size: str) -> UserError:
    return UserError(
        f"the picture has {size}; up to {MAX_PIXELS // 1_000_000} million are read",
        _name(file),
        "scale it down",
    )


def _upright_size(image: Image.Image) -> tuple[int, int]:
    try:
        sideways = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
    except Exception:
        sideways = False
    return (image.height, image.width) if sideways else (image.width, image.height)


def _turned_upright(image: Image.Image) -> list[str]:
    """Apply the EXIF orientation in place; broken EXIF data is no reason to refuse a good picture."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
        return []
    except Exception:
        return ["the EXIF data are damaged, so the orientation is unknown"]


def _name(file: Path | BinaryIO) -> str:
    return str(file) if isinstance(file, (Path, str)) else str(getattr(file, "name", "the uploaded picture"))


def _reason(file: Path | BinaryIO, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"the file cannot be read: {error.strerror}"
    if isinstance(error, UnidentifiedImageError):
        return what_it_is(_head(file), FORMATS)
    if "truncated" in str(error):
        return "the picture is cut off before its end"
    return f"the picture is damaged ({type(error).__name__}: {error})".replace("\n", " ")


def _head(file: Path | BinaryIO) -> bytes:
    try:
        if isinstance(file, (Path, str)):
            with open_file(Path(file)) as stream:
                return stream.read(64)
        file.seek(0)
        return file.read(64)
    except (OSError, ValueError):
        return b""
