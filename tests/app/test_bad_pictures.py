"""Pictures as people have them: each is explained, with a notice where something was done to it, or refused."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from protoexplain.errors import UserError
from protoexplain_app.input_image import InputImage
from protoexplain_app.tabs.compare.actions import two_pictures
from protoexplain_app.tabs.explain.actions import explain_image
from protoexplain_app.tabs.explain.view import answer, picture


@pytest.fixture
def protopnet(store):
    return store.explainer("a-protopnet")


@pytest.fixture
def bird(examples, protopnet):
    with Image.open(examples.of(protopnet.checkpoint)[0].path) as image:
        return image.convert("RGB")


def empty_png(side):
    """A PNG that says it has side x side pixels of one bit, in a few bytes."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def transparent(bird):
    layer = bird.convert("RGBA")
    layer.putalpha(Image.linear_gradient("L").resize(bird.size))
    return encoded(layer, "PNG")


def sixteen_bits(bird):
    grey = np.asarray(bird.convert("L")).astype(np.uint16) * 257
    return encoded(Image.fromarray(grey), "PNG")


def animated(bird):
    return encoded(bird, "GIF", save_all=True, append_images=[Image.new("RGB", bird.size, "red")], duration=100)


def turned(bird):
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(bird.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


def heic(bird):
    pillow_heif.register_heif_opener()
    return encoded(bird, "HEIF", quality=95)


@pytest.mark.parametrize(
    ("make", "notice"),
    [
        (lambda bird: encoded(bird.convert("CMYK"), "JPEG"), "CMYK colours were converted to RGB"),
        (sixteen_bits, "16-bit values were rescaled to 8 bits"),
        (animated, "the file has several frames; only the first is used"),
        (transparent, "transparent areas were put on grey"),
        (turned, None),
        (lambda bird: encoded(bird.convert("1"), "PNG"), None),
        (lambda bird: encoded(bird.convert("P"), "PNG"), None),
        (lambda bird: encoded(bird.resize((1, 1)), "PNG"), None),
        (lambda bird: encoded(bird.resize((1, 500)), "PNG"), None),
        (lambda bird: encoded(bird, "WEBP"), None),
        (lambda bird: encoded(bird, "TIFF"), None),
        (lambda bird: encoded(bird, "AVIF"), None),
        (heic, None),
    ],
    ids=[
        "cmyk", "16 bits", "animated", "transparent", "turned", "1 bit", "palette", "1x1", "1x500", "webp", "tiff",
        "avif", "heic",
    ],
)  # fmt: skip
def test_it_is_explained_and_what_was_done_is_told(protopnet, examples, bird, tmp_path, make, notice):
    path = tmp_path / "mine.jpg"
    path.write_bytes(make(bird))
    shown = explain_image(protopnet, InputImage("", path.name, path))
    assert shown.notices == ((notice,) if notice else ())
    assert shown.best.probability > 0
    page = picture(shown) + answer(shown, 5, "map", False, "m")
    assert (f"Note: {notice}." in page) == (notice is not None)
    assert two_pictures(protopnet, InputImage("", path.name, path), examples.of(protopnet.checkpoint)[0]).left.best


def test_a_turned_picture_is_seen_upright(protopnet, bird, tmp_path):
    upright, path = tmp_path / "upright.jpg", tmp_path / "turned.jpg"
    upright.write_bytes(encoded(bird, "JPEG", quality=95))
    path.write_bytes(turned(bird))
    one, other = (explain_image(protopnet, InputImage("", "x", file)) for file in (upright, path))
    assert other.best.label == one.best.label
    assert other.best.probability == pytest.approx(one.best.probability, abs=0.1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Roses are red", "the file is a text"),
        (b"", "the file is empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG, HTML or XML text"),
        (b"%PDF-1.7", "a PDF file"),
        (bytes(range(256)), "damaged or not one of"),
        (empty_png(20_000), "far too many pixels|20000 x 20000 pixels"),
        (empty_png(13_000), "13000 x 13000 pixels"),
        (None, "cut off before its end"),
    ],
    ids=["text", "empty", "svg", "pdf", "noise", "20000", "13000", "truncated"],
)
def test_it_is_refused_in_words(protopnet, bird, tmp_path, content, reason):
    path = tmp_path / "mine.jpg"
    path.write_bytes(encoded(bird, "JPEG")[:1500] if content is None else content)
    with pytest.raises(UserError, match=reason):
        explain_image(protopnet, InputImage("", path.name, path))
