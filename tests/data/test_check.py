import json
import shutil

import numpy as np
import pytest
from PIL import Image

from protoexplain.data.check import as_text, check
from protoexplain.data.read import read_image_set


def test_good_data_set(cub):
    seen = []
    report = check(read_image_set(cub.root), lambda done, total: seen.append((done, total)))
    assert report.train_counts == report.test_counts == (2, 2)
    assert report.sizes == {"width": (40, 40, 40), "height": (30, 30, 30)}
    assert report.few_train == ("Black footed Albatross", "Wren")
    assert seen == [(n, 8) for n in range(1, 9)]
    for name in ("unreadable", "no_test", "in_both_splits", "boxes_clipped", "boxes_lost", "parts_outside"):
        assert getattr(report, name) == ()
    assert (report.masks_missing, report.masks_unfit) == ((), ())
    assert json.loads(json.dumps(report.to_dict()))["classes"] == ["Black footed Albatross", "Wren"]


@pytest.fixture
def enough(tmp_path, picture):
    """Two class folders with 25 images of 64 pixels each, a fifth of them for testing."""
    for n in range(50):
        picture(tmp_path / ("daisy", "lily")[n % 2] / f"{n}.png", n, size=(64, 64))
    return tmp_path


def told(folder):
    return as_text(check(read_image_set(folder)))


def test_nothing_to_complain_about(enough):
    assert told(enough).endswith("nothing to complain about")


def test_what_will_hurt_is_told(enough, picture):
    picture(enough / "lily" / "tiny.png", 77, size=(63, 80))
    Image.new("RGBA", (64, 64), (200, 30, 30, 0)).save(enough / "lily" / "cut out.png")
    shutil.rmtree(enough / "daisy")
    for n in range(5):
        picture(enough / "daisy" / f"{n}.png", 100 + n, size=(64, 64))
    text = told(enough)
    assert "side below 64 pixels, of which a network sees little: 1\n    lily/tiny.png" in text
    assert "put on grey; the quick-* presets take all but these for the object" in text
    assert "(data.alpha_masks): 1\n    lily/cut out.png" in text
    assert "classes with fewer than 20 training images: 1\n    daisy" in text
    assert "classes are not balanced: 22 training images of lily, 4 of daisy" in text


def test_what_was_done_to_pictures_is_told_and_is_no_complaint(enough):
    for n in range(3):
        values = np.full((64, 64), 5000 * (n + 1), dtype=np.uint16)
        Image.fromarray(values).save(enough / "lily" / f"deep {n}.png")
    Image.new("CMYK", (64, 64), (9, 8, 7, 6)).save(enough / "lily" / "printed.tiff")
    text = told(enough)
    assert "16-bit values were rescaled to 8 bits: 3 pictures" in text
    assert "grey, which stands for red, green and blue alike: 3 pictures" in text
    assert "CMYK colours were converted to RGB: 1 pictures" in text
    assert text.endswith("nothing to complain about")


def test_a_picture_that_comes_twice(enough):
    assert check(read_image_set(enough)).repeated == ()
    train = [record for record in read_image_set(enough).split("train") if record.label == 0][:2]
    shutil.copy(train[0].path, train[1].path)
    (group,) = check(read_image_set(enough)).repeated
    assert set(group) == {train[0].id, train[1].id}
    assert "come twice in a class: 1" in told(enough)


def test_unreadable_images_and_masks(cub):
    image = cub.root / "images/002.Wren/Wren_1.png"
    image.write_bytes(image.read_bytes()[:300])
    (cub.root / "segmentations/002.Wren/Wren_0.png").write_text("x")
    (cub.root / "segmentations/002.Wren/Wren_2.png").unlink()
    shutil.copy(cub.root / "images/002.Wren/Wren_3.png", cub.root / "segmentations/002.Wren/Wren_3.png")
    report = check(read_image_set(cub.root))
    ((bad, reason),) = report.unreadable
    assert bad == "images/002.Wren/Wren_1.png"
    assert reason
    assert [id_ for id_, _ in report.masks_unfit] == ["images/002.Wren/Wren_0.png"]
    assert report.masks_missing == ("images/002.Wren/Wren_2.png",)
    assert f"{bad}: {reason}" in as_text(report)


def test_mask_of_another_size(cub, picture):
    picture(cub.root / "segmentations/002.Wren/Wren_3.png", size=(20, 30))
    ((id_, reason),) = check(read_image_set(cub.root)).masks_unfit
    assert id_.endswith("Wren_3.png")
    assert "20 x 30" in reason


def test_equal_pictures(class_folders, picture):
    found = read_image_set(class_folders)
    train, test = (next(r for r in found.split(split) if r.label == 0) for split in ("train", "test"))
    picture(train.path, 999)
    picture(test.path, 999)
    picture(class_folders / "tulip/0.png", 998)
    picture(class_folders / "red_rose/0.png", 998)
    report = check(read_image_set(class_folders))
    assert tuple(sorted((train.id, test.id))) in report.in_both_splits
    assert ("red_rose/0.png", "tulip/0.png") in report.in_two_classes
    assert "pictures in both training and test" in as_text(report)


@pytest.mark.parametrize(
    ("box", "finding"),
    [
        ("30.0 5.0 20.0 15.0", "boxes_clipped"),
        ("41.0 5.0 20.0 15.0", "boxes_lost"),
        ("20.5 5.0 20.0 15.0", None),
    ],
)
def test_boxes_beyond_the_image(cub, box, finding):
    cub.replace_line("bounding_boxes.txt", 1, f"1 {box}")
    cub.replace_line("parts/part_locs.txt", 3, "2 1 40.5 7.0 1")
    found = read_image_set(cub.root)
    report = check(found)
    for name in ("boxes_clipped", "boxes_lost"):
        assert getattr(report, name) == ((found.records[0].id,) if name == finding else ())
    assert report.parts_outside == (found.records[1].id,)


def test_empty_classes_and_reading_problems_are_told(class_folders, picture):
    classes = [entry.name for entry in class_folders.iterdir()]
    for split in ("train", "test"):
        for name in classes:
            shutil.copytree(class_folders / name, class_folders / split / name)
    for name in classes:
        shutil.rmtree(class_folders / name)
    shutil.rmtree(class_folders / "test/daisy")
    (class_folders / "train/daisy/readme.md").write_text("x")
    report = check(read_image_set(class_folders))
    assert report.no_test == ("daisy",)
    text = as_text(report)
    assert "classes without test images: 1\n    daisy" in text
    assert "readme.md" in text


def test_long_lists_are_shortened(class_folders):
    for n in range(8):
        (class_folders / "daisy" / f"{n}.png").write_bytes(b"")
    text = as_text(check(read_image_set(class_folders)))
    assert "images that cannot be read: 8" in text
    assert "... and 3 more" in text
