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


def is_heic(head: bytes) -> bool:
    """Whether a file that begins with these 64 bytes is a HEIC picture, as phones make them."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS and b"avif" not in head[16:]


def what_it_is(head: bytes, known: Sequence[str]) -> str:
    """Say what a file is that is none of the `known` picture formats."""
    if not head:
        return "the file is empty"
    if is_heic(head):
        return "the HEIC picture is damaged"
    if head.startswith((b"II*\0", b"MM\0*")):
        return "the TIFF is damaged, or not read: it may have more than four channels, or colours in floating point"
    kind = next((name for signature, name in _SIGNATURES if head.startswith(signature)), None)
    if head[4:8] == b"ftyp":
        kind = "a video file"
    elif head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        kind = "an SVG, HTML or XML text"
    elif kind is None and all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        kind = "a text"
    names = ", ".join(known)
    return f"the file is {kind}, not one of {names}" if kind else f"the file is damaged or not one of {names}"
