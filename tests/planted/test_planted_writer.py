import json
from collections import Counter

import cv2
import numpy as np
import pytest

from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError
from protoexplain.planted import draw
from protoexplain.planted.classes import PARTS

SETTINGS = {"classes": 4, "train_per_class": 3, "test_per_class": 2, "size": 96, "seed": 5}
IMAGES = 4 * (3 + 2)


def lines(path):
    return [line.split(" ", 1) for line in path.read_text().splitlines()]


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    out = tmp_path_factory.mktemp("planted") / "set"
    draw(out, **SETTINGS)
    return out


def test_every_table_has_one_line_per_thing_with_ids_from_1(root):
    ids = [str(k) for k in range(1, IMAGES + 1)]
    for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes"):
        assert [line[0] for line in lines(root / f"{name}.txt")] == ids
    assert [line[0] for line in lines(root / "classes.txt")] == ["1", "2", "3", "4"]
    assert [name for _, name in lines(root / "parts" / "parts.txt")] == list(PARTS)
    assert len(lines(root / "parts" / "part_locs.txt")) == IMAGES * len(PARTS)


def test_images_lie_in_the_folder_of_their_class(root):
    classes, labels = dict(lines(root / "classes.txt")), dict(lines(root / "image_class_labels.txt"))
    for image, name in lines(root / "images.txt"):
        assert name.split("/")[0] == classes[labels[image]]
        picture = cv2.imread(str(root / "images" / name))
        assert picture.shape == (96, 96, 3)
    assert Counter(labels.values()) == {str(k): 5 for k in range(1, 5)}


def test_split_has_the_numbers_asked_for(root):
    labels, split = dict(lines(root / "image_class_labels.txt")), dict(lines(root / "train_test_split.txt"))
    count = Counter((labels[image], split[image]) for image in labels)
    assert {count[str(k), "1"] for k in range(1, 5)} == {3}
    assert {count[str(k), "0"] for k in range(1, 5)} == {2}


def test_boxes_hold_the_mask_and_parts_lie_on_it(root):
    boxes = dict(lines(root / "bounding_boxes.txt"))
    places = [line.split() for line in (root / "parts" / "part_locs.txt").read_text().splitlines()]
    shown = 0
    for image, name in lines(root / "images.txt"):
        mask = cv2.imread(str(root / "segmentations" / name.replace(".jpg", ".png")), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(mask)) == {0, 255}
        rows, columns = np.nonzero(mask)
        x, y, width, height = map(float, boxes[image].split())
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        near = cv2.dilate(mask, np.ones((5, 5), np.uint8))
        for _, _, across, down, visible in (place for place in places if place[0] == image):
            if visible == "0":
                assert (across, down) == ("0.0", "0.0")
                continue
            shown += 1
            assert x - 2 <= float(across) <= x + width + 2
            assert y - 2 <= float(down) <= y + height + 2
            assert near[int(float(down)), int(float(across))]
    assert shown > 8 * IMAGES


def test_the_cub_reader_reads_it_without_complaint(root):
    images = read_image_set(root)
    assert (images.source, images.problems) == ("cub", ())
    assert images.part_names == PARTS
    assert images.counts("train") == [3] * 4
    assert images.counts("test") == [2] * 4
    assert all(record.box and record.mask and record.mask.is_file() for record in images.records)
    assert all(any(record.parts.values()) for record in images.records)


def test_one_eye_and_one_wing_at_most(root):
    seen = {
        (image, PARTS[int(part) - 1])
        for image, part, _, _, visible in (
            line.split() for line in (root / "parts" / "part_locs.txt").read_text().splitlines()
        )
        if visible == "1"
    }
    for image in {image for image, _ in seen}:
        for part in ("eye", "wing"):
            assert not {(image, f"left {part}"), (image, f"right {part}")} <= seen
    assert {"left eye", "right eye"} <= {part for _, part in seen}


def test_equal_arguments_give_equal_bytes(root, tmp_path):
    draw(tmp_path / "again", **SETTINGS)
    assert contents(tmp_path / "again") == contents(root)


def test_more_images_and_classes_leave_the_old_ones_unchanged(root, tmp_path):
    draw(tmp_path / "more", **{**SETTINGS, "classes": 6, "test_per_class": 3})
    old, new = contents(root / "images"), contents(tmp_path / "more" / "images")
    assert len(new) > len(old)
    assert all(new[name] == data for name, data in old.items())


def test_another_seed_gives_other_birds(root, tmp_path):
    draw(tmp_path / "other", **{**SETTINGS, "seed": 6, "classes": 2, "train_per_class": 1, "test_per_class": 1})
    assert not set(contents(tmp_path / "other" / "images").values()) & set(contents(root / "images").values())


def test_progress_counts_every_image(tmp_path):
    calls = []
    settings = {"classes": 2, "train_per_class": 2, "test_per_class": 1, "size": 32}
    draw(tmp_path / "set", **settings, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(k, 6) for k in range(1, 7)]


def test_a_finished_set_is_left_alone(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    draw(root, **SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_other_settings_and_foreign_folders_are_refused(root, tmp_path):
    with pytest.raises(UserError, match="other settings"):
        draw(root, **{**SETTINGS, "seed": 6})
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        draw(tmp_path, **SETTINGS)
    with pytest.raises(UserError, match="is a file"):
        draw(tmp_path / "note.txt", **SETTINGS)
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_an_interrupted_drawing_leaves_nothing(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path / "set", classes=2, train_per_class=1, test_per_class=1, size=32, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"classes": 0}, "even"),
        ({"classes": 5}, "even"),
        ({"size": 31}, "size"),
        ({"train_per_class": 0}, "train_per_class"),
        ({"test_per_class": 0}, "test_per_class"),
        ({"seed": -1}, "seed"),
    ],
)
def test_silly_arguments_are_refused(tmp_path, change, word):
    with pytest.raises(UserError, match=word):
        draw(tmp_path / "set", **{**SETTINGS, **change})
    assert not (tmp_path / "set").exists()


def test_attributes_name_the_one_difference_of_every_pair(root):
    told = json.loads((root / "class_attributes.json").read_text())
    assert [entry["name"] for entry in told["classes"]] == [name for _, name in lines(root / "classes.txt")]
    for pair in told["pairs"]:
        first, second = (told["classes"][k - 1]["regions"] for k in pair["classes"])
        differences = {
            (region, key): [first[region][key], second[region][key]]
            for region in first
            for key in first[region]
            if first[region][key] != second[region][key]
        }
        assert differences == {(pair["region"], pair["attribute"]): pair["values"]}
        assert pair["parts"] == told["regions"][pair["region"]]
        assert pair["part"] in pair["parts"]
    assert sorted(part for parts in told["regions"].values() for part in parts) == sorted(PARTS)
