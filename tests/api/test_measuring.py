"""Any torch data set of images and labels is measured like the folder of the same images."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset

import protoexplain as px
from protoexplain.data.dataset_view import view_of
from protoexplain.data.loading import cut, geometry_of
from protoexplain.io.images import load_image

NAMES = ["accuracy", "calibration_error", "compactness"]


class Watcher:
    def __init__(self):
        self.steps, self.lines = [], []

    def progress(self, what, done, total):
        self.steps.append((what, done, total))

    def line(self, text):
        self.lines.append(text)


class Birds(Dataset):
    """The test images of a folder, cut to their boxes, as PIL images."""

    def __init__(self, checkpoint, folder):
        view = view_of(checkpoint, folder)
        self.records, self.crop, self.size = view.listed("test"), view.crop, checkpoint.config.data.image_size

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        record = self.records[index]
        rgb = load_image(record.path).rgb
        return Image.fromarray(
            cut(rgb, geometry_of(record, (rgb.shape[1], rgb.shape[0]), self.crop, self.size))
        ), record.label


class Pairs(Dataset):
    def __init__(self, pairs, **more):
        self.pairs = pairs
        vars(self).update(more)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        item = self.pairs[index]
        if isinstance(item, Exception):
            raise item
        return item


@pytest.fixture(scope="module")
def trained(tiny_checkpoint):
    return px.load(tiny_checkpoint("protopnet"), device="cpu")


@pytest.fixture(scope="module")
def birds(trained, planted):
    return Birds(trained.checkpoint, planted)


@pytest.fixture(scope="module")
def by_folder(trained, planted):
    return px.measure(trained, planted, NAMES)


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, result in found.items():
        assert result.score.value == pytest.approx(expected[name].score.value, rel=1e-5), name
        assert result.score.n_used == expected[name].score.n_used


def test_a_data_set_measures_as_its_folder(trained, birds, by_folder):
    watcher = Watcher()
    assert_same(px.measure(trained, birds, NAMES, watcher=watcher), by_folder)
    assert watcher.steps == [("looking at images", len(birds), len(birds))]


def test_it_may_be_a_subset_or_an_iterable_of_tensors(trained, birds, by_folder):
    class Stream(IterableDataset):
        def __iter__(self):
            for image, label in birds:
                yield torch.from_numpy(np.array(image)).permute(2, 0, 1), torch.tensor(label)

    assert_same(px.measure(trained, Stream(), NAMES), by_folder)
    few = px.measure(trained.checkpoint, Subset(birds, [0, 1, 2]), ["accuracy"])["accuracy"]
    assert few.score.n_used == 3


def test_metrics_without_their_annotations_are_left_out_or_refused(trained, birds):
    watcher = Watcher()
    found = px.measure(trained, Subset(birds, range(4)), watcher=watcher)
    assert {"accuracy", "augmentation_consistency", "deletion"} <= set(found)
    left_out = " ".join(watcher.lines)
    for name, reason in (("purity", "part locations"), ("pointing_game", "where the object is")):
        assert name not in found
        assert f"left out: {name} needs" in left_out
        with pytest.raises(px.UserError, match=f"{name} needs .*{reason}.* Subset"):
            px.measure(trained, Subset(birds, [0]), ["accuracy", name])


def test_bad_images_are_told_by_number_and_the_others_measured(trained, birds):
    image, label = birds[0]
    watcher = Watcher()
    pairs = [(image, label), (np.zeros(5), 0), OSError("disk"), (image, label)]
    found = px.measure(trained, Pairs(pairs), ["accuracy"], watcher=watcher)
    assert found["accuracy"].score.n_used == 2
    assert [line.split(": ")[1] for line in watcher.lines] == ["image 1", "image 2"]
    assert "disk" in watcher.lines[1]
    with pytest.raises(px.UserError, match="no image to measure on"):
        px.measure(trained, Pairs([(np.zeros(5), 0)]), ["accuracy"])


def test_classes_are_matched_by_name(trained, birds, by_folder):
    classes = list(trained.classes)[::-1]
    pairs = [(image, classes.index(trained.classes[label])) for image, label in birds]
    assert_same(px.measure(trained, Pairs(pairs, classes=classes), NAMES), by_folder)
    with pytest.raises(px.UserError, match="names differ"):
        px.measure(trained, Pairs(pairs, classes=["a", "b"]), NAMES)


@pytest.mark.parametrize("label", [99, -1, 0.5, "wren", None])
def test_labels_that_are_none_are_refused(trained, birds, label):
    with pytest.raises(px.UserError, match="is no label"):
        px.measure(trained, Pairs([(birds[0][0], label)]), ["accuracy"])


def test_items_that_are_no_pairs_are_refused(trained, birds):
    with pytest.raises(px.UserError, match="no pair of image and label"):
        px.measure(trained, Pairs([birds[0][0]]), ["accuracy"])
