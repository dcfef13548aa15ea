"""What a file is, by its first bytes, where it is none of the pictures that are read."""

from __future__ import annotations

from collections.abc import Sequence

_SIGNATURES = (
    (b"%!PS", "a PostScript file"),
    (b"%PDF", "a PDF file"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file"),
    (b"PK\x03\x04", "a zip archive"),
)
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""ISO/IEC 23008-12, annex B; `mif1` and `msf1` are also written by some before `avif`."""

_BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
"""Lengths of the second header of a BMP; two letters alone begin many a text."""


def is_heic(head: bytes) -> bool:
    """Whether a file that begins with these 64 bytes is a HEIC picture, as phones make them."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS and b"avif" not in head[16:]


def is_picture_head(head: bytes) -> bool:
    """Whether a file that begins with these 64 bytes is a picture in one of the formats that are read, of any name."""
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")):
        return True
    if head.startswith(b"BM"):
        return head[6:10] == b"\0\0\0\0" and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS
    webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    return webp or is_heic(head) or (head[4:8] == b"ftyp" and b"avi" in head[8:32])


def kind_of(head: bytes) -> str | None:
    """What a file is that begins with these 64 bytes, where that is known and no picture that is read."""
    if not head:
        return "empty"
    kind = next((name for signature, name in _SIGNATURES if head.startswith(signature)), None)
    if head[4:8] == b"ftyp":
        return "a video file"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "an SVG, HTML or XML text"
    text = all(byte >= 32 or byte in b"\t\r\n" for byte in head)
    return "a text" if kind is None and text else kind


def what_it_is(head: bytes, known: Sequence[str]) -> str:
    """Say what a file is that is none of the `known` picture formats."""
    if is_heic(head):
        return "the HEIC picture is damaged"
    if head.startswith((b"II*\0", b"MM\0*")):
        return "the TIFF is damaged, or not read: it may have more than four channels, or colours in floating point"
    kind, names = kind_of(head), ", ".join(known)
    if not head:
        return f"the file is {kind}"
    return f"the file is {kind}, not one of {names}" if kind else f"the file is damaged or not one of {names}"
