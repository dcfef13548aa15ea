"""Colours, alpha channels and masks: every mode becomes eight bits of red, green and blue."""

import io

import cv2
import numpy as np
import pytest
from encoded_images import encoded, loaded
from PIL import Image

from protoexplain.errors import UserError
from protoexplain.io.images import has_alpha, load_alpha, load_image, load_mask


class TestColours:
    def test_grey_one_bit_and_palette(self):
        checker = np.indices((8, 8)).sum(axis=0) % 2 * 255
        for image in (Image.fromarray(checker.astype(np.uint8)), Image.fromarray(checker == 255)):
            assert np.array_equal(loaded(image).rgb[..., 1], checker)
        colours = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8))
        assert np.array_equal(loaded(colours.quantize(4)).rgb, np.asarray(colours))

    def test_cmyk_becomes_rgb(self):
        image = loaded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF")
        assert image.rgb[0, 0].tolist() == [255, 0, 0]
        assert any("CMYK" in notice for notice in image.notices)

    @pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
    def test_transparency_is_put_on_grey(self, mode):
        hidden_red = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
        hidden_red.putpixel((0, 0), (0, 0, 0, 255))
        image = loaded(hidden_red.convert(mode), "PNG")
        assert image.rgb[1, 1].tolist() == [128, 128, 128]
        assert image.rgb[0, 0].tolist() == [0, 0, 0]
        assert any("on grey" in notice for notice in image.notices)

    def test_half_transparent_mixes_and_opaque_alpha_is_no_news(self):
        assert loaded(Image.new("RGBA", (2, 2), (0, 0, 0, 127))).rgb[0, 0].tolist() == [64, 64, 64]
        assert loaded(Image.new("RGBA", (2, 2), (9, 8, 7, 255))).notices == ()

    def test_transparent_colour_without_alpha_channel(self):
        image = loaded(Image.new("RGB", (2, 2), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
        assert image.rgb[0, 0].tolist() == [128, 128, 128]

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_sixteen_bit_grey_is_rescaled(self, kind):
        values = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
        image = loaded(Image.fromarray(values), kind)
        assert image.rgb[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
        assert any("16-bit" in notice for notice in image.notices)

    def test_big_endian_sixteen_bit(self):
        big = Image.fromarray(np.array([[0, 257 * 7, 65535]], dtype=">u2"))
        assert big.mode == "I;16B"
        assert loaded(big, "TIFF").rgb[0, :, 2].tolist() == [0, 7, 255]

    def test_sixteen_bits_of_a_camera_with_twelve_are_said_to_be_dark(self):
        for brightest, dark in ((4095, True), (4096, False), (0, False)):
            notices = loaded(Image.fromarray(np.full((2, 2), brightest, dtype=np.uint16)), "TIFF").notices
            assert any("less than a sixteenth" in notice for notice in notices) == dark

    @pytest.mark.parametrize("kind", ["png", "tiff"])
    def test_sixteen_bit_colours_are_rescaled(self, kind, tmp_path):
        values = np.array([[[65535, 32768, 0]]], dtype=np.uint16)
        assert cv2.imwrite(str(tmp_path / f"deep.{kind}"), values)
        image = load_image(tmp_path / f"deep.{kind}")
        assert image.rgb[0, 0].tolist() == [0, 128, 255]
        assert image.notices == ("16-bit values were rescaled to 8 bits",)

    def test_numbers_from_0_to_1_are_rescaled(self):
        image = loaded(Image.fromarray(np.array([[0, 0.5, 1]], dtype=np.float32)), "TIFF")
        assert image.rgb[0, :, 1].tolist() == [0, 128, 255]
        assert any("0 to 1" in notice for notice in image.notices)

    @pytest.mark.parametrize(
        ("value", "dtype", "words"),
        [
            (1.1, np.float32, "floating point pixels, from 1.1 to 1.1"),
            (-0.1, np.float32, "floating point"),
            (np.nan, np.float32, "from nan"),
            (1, np.int32, "32-bit"),
        ],
    )
    def test_values_without_a_range_are_refused(self, value, dtype, words):
        with pytest.raises(UserError, match=words):
            loaded(Image.fromarray(np.full((4, 4), value, dtype=dtype)), "TIFF")

    def test_colours_in_floating_point_are_named(self, tmp_path):
        assert cv2.imwrite(str(tmp_path / "a.tiff"), np.zeros((4, 4, 3), dtype=np.float32))
        with pytest.raises(UserError, match="colours in floating point"):
            load_image(tmp_path / "a.tiff")

    def test_neutral_lab_is_grey(self):
        red, green, blue = loaded(Image.new("LAB", (4, 4), (128, 128, 128)), "TIFF").rgb[0, 0].tolist()
        assert abs(red - green) <= 2
        assert abs(green - blue) <= 2
        assert 100 < green < 140


class TestAlpha:
    def test_it_is_read_upright_and_cut_at_a_half(self):
        clear = Image.new("LA", (3, 2), (9, 255))
        clear.putpixel((2, 0), (9, 127))
        clear.putpixel((0, 1), (9, 128))
        exif = Image.Exif()
        exif[0x0112] = 6
        assert load_alpha(io.BytesIO(encoded(clear))).tolist() == [[True, True, False], [True, True, True]]
        turned = load_alpha(io.BytesIO(encoded(clear, exif=exif)))
        assert turned.tolist() == [[True, True], [True, True], [True, False]]

    def test_which_files_have_it(self):
        assert has_alpha(io.BytesIO(encoded(Image.new("LA", (2, 2)))))
        assert has_alpha(io.BytesIO(encoded(Image.new("RGB", (2, 2)), transparency=(1, 2, 3))))
        assert not has_alpha(io.BytesIO(encoded(Image.new("RGB", (2, 2)))))
        assert not has_alpha(io.BytesIO(b"no picture"))


class TestMasks:
    def test_not_zero_is_object_in_every_mode(self):
        expected = np.zeros((6, 5), dtype=bool)
        expected[2:4, 1:3] = True
        grey = Image.fromarray(expected.astype(np.uint8) * 51)
        palette = Image.fromarray(expected.astype(np.uint8), "L").convert("P")
        deep = Image.fromarray(expected.astype(np.uint16))
        for image in (grey, Image.fromarray(expected), grey.convert("RGB"), palette, deep):
            mask = load_mask(io.BytesIO(encoded(image)))
            assert mask.dtype == bool
            assert np.array_equal(mask, expected)

    def test_alpha_hides(self):
        image = Image.new("RGBA", (2, 1), (255, 255, 255, 255))
        image.putpixel((1, 0), (255, 255, 255, 0))
        assert load_mask(io.BytesIO(encoded(image))).tolist() == [[True, False]]
