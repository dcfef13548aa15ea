"""Pictures to be encoded, and heads of files that claim more than they hold."""

import io
import struct
import zlib

import numpy as np

from protoexplain.io.images import load_image

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF")


def ramp(height=30, width=40):
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 2], axis=-1)
    return rgb.clip(0, 255).astype(np.uint8)


def noise(side=60):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def loaded(image, kind="PNG", **options):
    return load_image(io.BytesIO(encoded(image, kind, **options)))


def png_header(width, height, bits=8, colour=2):
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def gif_header(screen, frame):
    """A GIF whose first frame may be larger than its screen."""
    descriptor = b"," + struct.pack("<HHHH", 0, 0, *frame) + b"\0"
    return b"GIF89a" + struct.pack("<HH", *screen) + b"\0\0\0" + descriptor + b"\x08\0;"
