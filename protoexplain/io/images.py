"""The only image reader: a file from anywhere becomes upright 8-bit RGB, or one sentence says why not.

Formats and size are checked before a pixel is decoded.  Colour profiles are not applied, as is usual for
image classifiers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from protoexplain.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
MAX_PIXELS = 25_000_000

_SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height; of a TIFF, Pillow tells the upright size."""
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_SIGNATURES = (
    (b"%!PS", "a PostScript file"),
    (b"%PDF", "a PDF file"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file"),
    (b"PK\x03\x04", "a zip archive"),
)
_GROUND = (128, 128, 128)
"""Behind transparent areas: black and white things show on it alike."""
TRANSPARENT = "transparent areas were put on grey"
_RESCALED = "16-bit values were rescaled to 8 bits"
_DARK = "the 16-bit values use less than a sixteenth of their range, so that hardly anything is to be seen"
_FLOATS = "numbers from 0 to 1 were rescaled to 8 bits"
_FIRST_FRAME = "the file has several frames; only the first is used"
_CMYK = "CMYK colours were converted to RGB"


@dataclass(frozen=True, slots=True, eq=False)
class LoadedImage:
    """An image as the rest of the package sees it.

    Args:
        rgb: uint8 [H, W, 3], upright.
        notices: What was done to the picture that its owner may want to know, one sentence each.
    """

    rgb: np.ndarray
    notices: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.rgb.shape[1], self.rgb.shape[0]


def load_image(file: Path | BinaryIO) -> LoadedImage:
    """Read a picture: upright by EXIF, transparency on grey, 16-bit values and numbers from 0 to 1 rescaled, first
    frame only.

    Raises:
        UserError: For everything that cannot be read or is larger than `MAX_PIXELS`; no other exception.
    """
    with _opened(file) as image:
        sixteen = image.mode in _SIXTEEN_BIT or ";16" in repr(getattr(image, "tile", ()))
        image.load()
        upright, notices = _upright(image)
        if getattr(image, "is_animated", False) and image.format != "MPO":
            notices.append(_FIRST_FRAME)
        if sixteen:
            notices.append(_RESCALED)
        if upright.mode in _SIXTEEN_BIT:
            values = np.asarray(upright)
            notices += [_DARK] if 0 < values.max() < 1 << 12 else []
            upright = Image.fromarray(_eight_bits(values))
        elif upright.mode in ("I", "F"):
            upright = _from_numbers(upright, file)
            notices.append(_FLOATS)
        elif upright.mode == "CMYK":
            notices.append(_CMYK)
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
            if upright.getchannel("A").getextrema() != (255, 255):
                notices.append(TRANSPARENT)
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, _GROUND), upright)
        return LoadedImage(np.array(upright.convert("RGB")), tuple(notices))


def load_mask(file: Path | BinaryIO) -> np.ndarray:
    """Read a segmentation picture: bool [H, W], True where any colour channel (or palette index) is not zero.

    Raises:
        UserError: As `load_image`.
    """
    with _opened(file) as image:
        image.load()
        values = np.asarray(_upright(image)[0])
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
        return np.asarray(_upright(image)[0].convert("RGBA").getchannel("A")) >= 128


def image_size(file: Path | BinaryIO) -> tuple[int, int]:
    """(width, height) of the upright picture in pixels, from the head of the file alone.

    Raises:
        UserError: As `load_image`, for what the head shows.
    """
    with _opened(file) as image:
        try:
            sideways = image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS
        except Exception:
            sideways = False
        return (image.height, image.width) if sideways else (image.width, image.height)


def verify_image(file: Path | BinaryIO) -> None:
    """Decode a picture to the end, coarsely where its format allows, to learn whether it can be read.

    Raises:
        UserError: As `load_image`.
    """
    with _opened(file) as image:
        if image.format == "JPEG":
            image.draft("RGB", (image.width // 8, image.height // 8))
            image.load()
            return
    load_image(file)


def sha256_of(file: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes.

    Raises:
        UserError: If the file cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"the file cannot be read: {error.strerror}", str(file)) from error


@contextmanager
def _opened(file: Path | BinaryIO) -> Iterator[Image.Image]:
    """Open with all limits on; whatever goes wrong until the block ends becomes a UserError."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            if not 0 < image.width * image.height <= MAX_PIXELS:
                raise _too_large(file, f"{image.width} x {image.height} pixels")
            yield image
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(file, "far too many pixels") from error
    except Exception as error:
        raise UserError(_reason(file, error), _name(file), "replace the file or leave it out") from error


def _too_large(file: Path | BinaryIO, size: str) -> UserError:
    return UserError(
        f"the picture has {size}; up to {MAX_PIXELS // 1_000_000} million are read",
        _name(file),
        "scale it down",
    )


def _upright(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Apply the EXIF orientation; broken EXIF data is no reason to refuse a good picture."""
    try:
        return ImageOps.exif_transpose(image), []
    except Exception:
        return image, ["the EXIF data are damaged, so the orientation is unknown"]


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """uint16 of any byte order -> uint8 with 65535 -> 255, rounded."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _from_numbers(image: Image.Image, file: Path | BinaryIO) -> Image.Image:
    """8-bit grey of floating-point numbers from 0 to 1.

    Raises:
        UserError: Whole numbers, or any beyond 0 and 1, whose range nobody knows.
    """
    values = np.asarray(image)
    if image.mode == "F" and values.min() >= 0 and values.max() <= 1:
        return Image.fromarray(np.rint(values * 255).astype(np.uint8))
    kind = "32-bit integer" if image.mode == "I" else "floating point"
    raise UserError(
        f"the picture has {kind} pixels, from {values.min():g} to {values.max():g}, whose range of values is unknown",
        _name(file),
        "save it with 8 or 16 bits per channel, or as numbers from 0 to 1",
    )


def _name(file: Path | BinaryIO) -> str:
    return str(file) if isinstance(file, (Path, str)) else str(getattr(file, "name", "the uploaded picture"))


def _reason(file: Path | BinaryIO, error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"the file cannot be read: {error.strerror}"
    if isinstance(error, UnidentifiedImageError):
        return _what_else(_head(file))
    if "truncated" in str(error):
        return "the picture is cut off before its end"
    return f"the picture is damaged ({type(error).__name__}: {error})".replace("\n", " ")


def _head(file: Path | BinaryIO) -> bytes:
    try:
        if isinstance(file, (Path, str)):
            with Path(file).open("rb") as stream:
                return stream.read(64)
        file.seek(0)
        return file.read(64)
    except (OSError, ValueError):
        return b""


def _what_else(head: bytes) -> str:
    """Say what a file is that is none of the known picture formats."""
    if not head:
        return "the file is empty"
    if head.startswith((b"II*\0", b"MM\0*")):
        return "the TIFF is damaged, or not read: it may have more than four channels, or colours in floating point"
    kind = next((name for signature, name in _SIGNATURES if head.startswith(signature)), None)
    if head[4:8] == b"ftyp":
        kind = "a HEIC, AVIF or video file"
    elif head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        kind = "an SVG, HTML or XML text"
    elif kind is None and all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        kind = "a text"
    known = ", ".join(FORMATS)
    return f"the file is {kind}, not one of {known}" if kind else f"the file is damaged or not one of {known}"
