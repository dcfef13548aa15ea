"""Which cells show the object: masks before boxes before the middle of the picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from protoexplain.data.geometry import Box
from protoexplain.data.records import ImageRecord
from protoexplain.training.foreground import coverage


@pytest.fixture
def record(tmp_path):
    Image.new("RGB", (80, 40)).save(tmp_path / "bird.png")
    mask = np.zeros((40, 80), dtype=np.uint8)
    mask[10:30, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")

    def make(box=None, mask=False):
        path = tmp_path / "mask.png" if mask else None
        return ImageRecord("bird.png", tmp_path / "bird.png", 0, "train", box, mask=path)

    return make


def test_masks_as_the_cut_picture_shows_them(record):
    whole = coverage([record(mask=True)], "full", (4, 8))
    expected = torch.zeros(1, 4, 8)
    expected[0, 1:3, 2:4] = 1
    torch.testing.assert_close(whole, expected)
    cut = coverage([record(Box(20, 10, 60, 30), mask=True)], "box", (2, 4))
    torch.testing.assert_close(cut, torch.tensor([[[1.0, 1, 0, 0], [1, 1, 0, 0]]]))


def test_a_cell_that_is_partly_covered(record):
    (share,) = coverage([record(mask=True)], "full", (1, 1))
    assert float(share) == pytest.approx(20 * 20 / (80 * 40))


def test_boxes_where_whole_images_are_seen(record):
    found = coverage([record(Box(20, 10, 40, 30))], "full", (4, 8))
    torch.testing.assert_close(found, coverage([record(mask=True)], "full", (4, 8)))


def test_a_box_that_is_cut_to_tells_nothing_more_than_the_middle(record):
    found = coverage([record(Box(20, 10, 40, 30))], "box", (10, 10))
    assert torch.equal(found, coverage([record()], "full", (10, 10)))
    assert found[0, 5, 5] == 1
    assert found[0, [0, 0, -1, -1], [0, -1, 0, -1]].sum() == 0
    assert torch.equal(found, found.flip(1))
    assert torch.equal(found, found.flip(2))
