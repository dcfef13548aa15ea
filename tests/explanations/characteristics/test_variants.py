"""The pictures that are compared, and the cache of the slow ones."""

import numpy as np
import pytest
import torch
from PIL import Image

from protoexplain.explanations.characteristics import variants as module
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.explanations.characteristics.variants import MOVES, PUBLISHED, variants
from protoexplain.io.cache import DiskCache

RGB = np.random.default_rng(3).integers(0, 256, (50, 70, 3), dtype=np.uint8)


def test_changed_at_native_size_then_resized():
    pictures = variants(RGB, 32)
    assert pictures.shape == (7, 3, 32, 32)
    assert pictures.dtype == torch.uint8
    for picture, rgb in zip(pictures, [RGB, *(change(RGB) for change in MODIFICATIONS.values())], strict=True):
        expected = np.asarray(Image.fromarray(rgb).resize((32, 32), Image.Resampling.BILINEAR))
        assert np.array_equal(picture.permute(1, 2, 0).numpy(), expected)


def test_moves_are_a_pixel():
    down, up = variants(RGB, 32, [(name, 1.0) for name in MOVES])[1:]
    for moved, by in ((down, 1), (up, -1)):
        expected = np.asarray(Image.fromarray(np.roll(RGB, (by, by), (0, 1))).resize((32, 32), Image.BILINEAR))
        assert np.array_equal(moved.permute(1, 2, 0).numpy(), expected)


@pytest.fixture
def counted(monkeypatch):
    """Strengths with which textures were computed."""
    computed, slow = [], MODIFICATIONS["texture"]

    class Counting:
        neutral = slow.neutral

        def __call__(self, rgb, strength):
            computed.append(strength)
            return slow(rgb, strength)

    monkeypatch.setitem(module._ALL, "texture", Counting())
    return computed


def test_textures_are_computed_once(counted, tmp_path):
    cache, plain = DiskCache(tmp_path), variants(RGB, 32)
    assert torch.equal(variants(RGB, 32, PUBLISHED, cache), plain)
    assert torch.equal(variants(RGB, 32, PUBLISHED, DiskCache(tmp_path)), plain)
    assert torch.equal(variants(RGB, 48, PUBLISHED, cache), variants(RGB, 48))
    assert counted == [4.0, 4.0, 4.0], "twice without the cache, once with it"
    variants(RGB, 32, [("texture", 9.0)], cache)
    variants(RGB[:, :-1], 32, [("texture", 9.0)], cache)
    variants(RGB.reshape(70, 50, 3), 32, [("texture", 9.0)], cache)
    assert counted[3:] == [9.0, 9.0, 9.0], "other strength, pixels or shape"


def test_a_damaged_texture_is_computed_again(counted, tmp_path):
    cache, plain = DiskCache(tmp_path), variants(RGB, 32)
    variants(RGB, 32, PUBLISHED, cache)
    (file,) = tmp_path.glob("??/*")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert torch.equal(variants(RGB, 32, PUBLISHED, cache), plain)
    assert len(counted) == 3
