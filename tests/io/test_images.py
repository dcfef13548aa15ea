import hashlib
import io
import os
import struct
import sys

import numpy as np
import pillow_heif
import pytest
from encoded_images import FORMATS, encoded, gif_header, loaded, noise, png_header, ramp
from fuzzing import fuzz, many
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from protoexplain.errors import UserError
from protoexplain.io import images
from protoexplain.io.images import (
    MAX_PIXELS,
    MOST_KEPT,
    image_size,
    load_image,
    load_mask,
    sha256_of,
    verify_image,
)

# stored = upright turned by the inverse of what the orientation tag asks for
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
pillow_heif.register_heif_opener()


class TestOrientation:
    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_every_exif_orientation_gives_the_upright_picture(self, kind, orientation):
        upright = Image.fromarray(ramp())
        turn = STORED_AS[orientation]
        stored = upright.transpose(turn) if turn is not None else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"lossless": True} if kind == "WEBP" else {}
        image = loaded(stored, kind, exif=exif, **options)
        assert image.size == (40, 30)
        assert np.array_equal(image.rgb, ramp())
        assert image_size(io.BytesIO(encoded(stored, kind, exif=exif, **options))) == (40, 30)

    def test_damaged_exif_does_not_spoil_the_picture(self):
        image = loaded(Image.fromarray(ramp()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        assert image.rgb.shape == (30, 40, 3)
        damaged = encoded(Image.fromarray(ramp()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        assert image_size(io.BytesIO(damaged)) == (40, 30)

    def test_size_needs_only_the_head(self):
        data = encoded(Image.fromarray(noise()), "PNG")
        assert image_size(io.BytesIO(data[: len(data) // 2])) == (60, 60)
        with pytest.raises(UserError):
            image_size(io.BytesIO(b"no picture"))


class TestFrames:
    @pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_first_frame_with_notice(self, kind):
        red, blue = Image.new("RGB", (20, 10), "red"), Image.new("RGB", (20, 10), "blue")
        options = {"lossless": True} if kind == "WEBP" else {}
        image = loaded(red, kind, save_all=True, append_images=[blue], **options)
        assert np.array_equal(image.rgb, np.asarray(red))
        assert any("first" in notice for notice in image.notices)

    @pytest.mark.parametrize("kind", FORMATS)
    def test_single_pictures_bring_no_notice(self, kind):
        assert loaded(Image.fromarray(ramp()), kind).notices == ()


class TestSizes:
    @pytest.mark.parametrize(
        "data",
        [
            png_header(20_000, 20_000, bits=1, colour=0),
            png_header(13_000, 13_000),
            png_header(8_001, 8_000),
            png_header(2**31 - 1, 2**31 - 1),
            gif_header((65_535, 65_535), (1, 1)),
            gif_header((1, 1), (60_000, 60_000)),
            b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
        ],
    )
    def test_too_many_pixels_are_refused_before_decoding(self, data):
        with pytest.raises(UserError, match="pixels"):
            load_image(io.BytesIO(data))
        with pytest.raises(UserError, match="pixels"):
            verify_image(io.BytesIO(data))
        with pytest.raises(UserError, match="pixels"):
            load_mask(io.BytesIO(data))

    def test_exactly_what_is_kept_and_what_is_read(self):
        side = int(MOST_KEPT**0.5)
        kept = loaded(Image.new("1", (side, side)))
        assert (kept.size, kept.rgb.shape[:2], kept.notices) == ((side, side), (side, side), ())
        side = int(MAX_PIXELS**0.5)
        halved = loaded(Image.new("1", (side, side)))
        assert (halved.size, halved.rgb.shape[:2]) == ((side, side), (side // 2, side // 2))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
    def test_large_pictures_are_halved_and_keep_the_coordinates_of_the_file(self, kind, monkeypatch):
        monkeypatch.setattr(images, "MOST_KEPT", 30 * 40 - 1)
        upright = Image.fromarray(ramp())
        exif = Image.Exif()
        exif[0x0112] = 6
        stored = upright.transpose(STORED_AS[6])
        large = loaded(stored, kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {}))
        assert (large.size, large.rgb.shape) == ((40, 30), (15, 20, 3))
        assert large.notices == ("more than 25 million pixels were halved in width and height",)
        expected = ramp().reshape(15, 2, 20, 2, 3).mean(axis=(1, 3))
        assert np.abs(large.rgb.astype(float) - expected).max() < 9
        assert np.array_equal(large.region((10, 4, 30, 20)), large.rgb[2:10, 5:15])
        assert large.region((10, 4, 10.4, 4.2)).shape == (1, 1, 3)

    def test_a_large_jpeg_is_never_decoded_in_full(self, monkeypatch):
        monkeypatch.setattr(images, "MOST_KEPT", 1000)
        data, decoded, load = encoded(Image.fromarray(ramp()), "JPEG"), [], Image.Image.load
        monkeypatch.setattr(Image.Image, "load", lambda self: (decoded.append(self.size), load(self))[1])
        assert load_image(io.BytesIO(data)).rgb.shape == (15, 20, 3)
        assert set(decoded) == {(20, 15)}

    @pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "LAB", "I;16"])
    def test_every_mode_can_be_halved(self, mode, monkeypatch):
        monkeypatch.setattr(images, "MOST_KEPT", 1000)
        white = Image.new("RGB", (40, 30), "white")
        made = {"I;16": 65535, "LAB": (255, 128, 128)}
        image = Image.new(mode, (40, 30), made[mode]) if mode in made else white.convert(mode)
        half = loaded(image, "TIFF")
        assert half.rgb.shape == (15, 20, 3)
        assert half.rgb.min() > 240

    @pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
    def test_odd_shapes(self, size):
        assert loaded(Image.new("RGB", size, "red")).size == size


class TestRefused:
    @pytest.mark.parametrize("kind", FORMATS)
    def test_cut_off_anywhere(self, kind):
        data = encoded(Image.fromarray(noise()), kind)
        assert load_image(io.BytesIO(data)).size == (60, 60)
        for tenth in range(10):
            part = data[: len(data) * tenth // 10]
            with pytest.raises(UserError):
                load_image(io.BytesIO(part))
            with pytest.raises(UserError):
                verify_image(io.BytesIO(part))

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "empty"),
            (b"just words, no picture", "text"),
            (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
            (b"\xef\xbb\xbf \n<svg/>", "SVG"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
            (b"8BPS\0\1" + b"\0" * 60, "Photoshop"),
            (b"\0\0\0\x18ftypisom" + b"\0" * 60, "video"),
            (b"\0\0\0\x18ftypheic" + b"\0" * 60, "damaged"),
            (b"%PDF-1.7\n", "PDF"),
            (b"PK\x03\x04" + b"\0" * 40, "zip"),
            (b"\x93\x00\x01\x02" * 30, "damaged"),
        ],
    )
    def test_other_files_are_named(self, tmp_path, content, words):
        path = tmp_path / "bird.jpg"
        path.write_bytes(content)
        with pytest.raises(UserError, match=words) as caught:
            load_image(path)
        assert caught.value.where == str(path)
        assert "\n" not in caught.value.what

    def test_heic_without_its_package_tells_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        for read in (load_image, image_size, verify_image):
            with pytest.raises(UserError, match="pillow-heif is installed") as caught:
                read(io.BytesIO(encoded(Image.fromarray(noise()), "HEIF")))
            assert caught.value.fix.startswith("pip install pillow-heif")

    def test_missing_file_and_folder(self, tmp_path):
        with pytest.raises(UserError, match="No such file"):
            load_image(tmp_path / "none.jpg")
        with pytest.raises(UserError, match="a folder"):
            load_image(tmp_path)
        os.mkfifo(tmp_path / "pipe.jpg")
        with pytest.raises(UserError, match="no file"):
            load_image(tmp_path / "pipe.jpg")

    def test_closed_stream_and_impossible_name(self, tmp_path):
        stream = io.BytesIO(b"x")
        stream.close()
        with pytest.raises(UserError):
            load_image(stream)
        with pytest.raises(UserError):
            load_image(tmp_path / "a\0b.jpg")

    def test_good_stream_need_not_stand_at_its_beginning(self):
        stream = io.BytesIO(encoded(Image.fromarray(ramp())))
        stream.seek(0, io.SEEK_END)
        assert load_image(stream).size == (40, 30)


TURNED = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
ORIGINALS = [
    encoded(Image.fromarray(noise(24)), "JPEG", exif=TURNED),
    *(encoded(Image.fromarray(noise(24)), kind) for kind in FORMATS),
]
MUTATION = st.tuples(st.integers(0, 2**16), st.integers(0, 255))


@fuzz
@many
@given(
    original=st.sampled_from(ORIGINALS),
    changes=st.lists(MUTATION, min_size=1, max_size=12),
    cut=st.integers(0, 40),
    extra=st.binary(max_size=8),
)
def test_mutated_files_are_an_image_or_a_user_error(original, changes, cut, extra):
    data = bytearray(original)
    for where, value in changes:
        data[where % (64 if where % 2 else len(data))] = value
    for read in (load_image, load_mask, verify_image):
        stream = io.BytesIO(bytes(data[: len(data) - cut]) + extra)
        try:
            result = read(stream)
        except UserError:
            continue
        if read is load_image:
            assert result.rgb.dtype == np.uint8
            assert result.rgb.ndim == 3
            assert result.rgb.shape[2] == 3
            assert result.rgb.shape[0] * result.rgb.shape[1] <= MAX_PIXELS


def test_sha256_of(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert sha256_of(path) == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(UserError):
        sha256_of(tmp_path / "none")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_size_without_decoding_is_that_of_the_upright_picture(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(ramp()), kind, exif=exif)
    assert image_size(io.BytesIO(content)) == load_image(io.BytesIO(content)).size


def test_size_of_what_is_no_picture():
    with pytest.raises(UserError):
        image_size(io.BytesIO(b"a text"))
    with pytest.raises(UserError, match="million"):
        image_size(io.BytesIO(png_header(10_000, 10_000)))
