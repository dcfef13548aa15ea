"""Which cells show the object: masks before boxes before the middle of the picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from protoexplain.config import DataConfig
from protoexplain.data.dataset_view import view_of_run
from protoexplain.data.geometry import Box
from protoexplain.data.records import ImageRecord
from protoexplain.regions.object_cells import cells_on_object
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


@pytest.fixture
def cut_out(tmp_path):
    """Two class folders: of the pictures of `daisy` only the black middle shows, those of `lily` hide nothing."""
    for n in range(8):
        picture = Image.new("RGBA", (80, 40), (200, 30, 30, 0))
        picture.paste((0, 0, 0, 255), (20, 10, 40, 30))
        for name in ("daisy", "lily"):
            (tmp_path / name).mkdir(exist_ok=True)
        picture.save(tmp_path / "daisy" / f"{n}.png")
        picture.convert("RGB").convert("RGBA" if n else "RGB").save(tmp_path / "lily" / f"{n}.png")
    return tmp_path


def test_alpha_channels_are_masks_where_they_are_wanted(cut_out, record):
    masked = coverage([record(mask=True)], "full", (4, 8))
    middle = coverage([record()], "full", (4, 8))
    for wanted in (True, False):
        records = view_of_run(DataConfig(alpha_masks=wanted), cut_out).image_set.records
        for image in records:
            expected = masked if wanted and image.id.startswith("daisy") else middle
            assert torch.equal(coverage([image], "full", (4, 8)), expected)
            on_object = cells_on_object([image], "full", (4, 8))
            assert torch.equal(on_object, expected.bool() if expected is masked else torch.ones(1, 4, 8).bool())
        assert {image.id for image in records if image.mask} == (
            {image.id for image in records} - {"lily/0.png"} if wanted else set()
        )
