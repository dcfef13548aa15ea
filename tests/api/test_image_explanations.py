"""Many images at once: the same as one by one, without losing any to a bad one."""

from dataclasses import replace

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import protoexplain as px


class Watcher:
    def __init__(self):
        self.steps, self.lines = [], []

    def progress(self, what, done, total):
        self.steps.append((done, total))

    def line(self, text):
        self.lines.append(text)


@pytest.fixture
def damaged(tmp_path):
    path = tmp_path / "damaged.jpg"
    path.write_text("no image")
    return path


def assert_same(many, one):
    """Up to the rounding of sums, which a convolution over a batch adds in another order."""
    assert many.image == one.image
    assert many.region == one.region
    for a, b in zip(many.predictions[:3], one.predictions[:3], strict=True):
        assert (a.label, a.name) == (b.label, b.name)
        assert (a.score, a.probability) == pytest.approx((b.score, b.probability), abs=1e-4)
    assert [row.prototype for row in many.rows] == [row.prototype for row in one.rows]
    for a, b in zip(many.rows, one.rows, strict=True):
        assert (a.owner, a.box) == (b.owner, b.box)
        numbers = ((r.similarity, r.usual, r.evidence) for r in (a, b))
        np.testing.assert_allclose(*numbers, atol=1e-4)
        np.testing.assert_allclose(a.heatmap, b.heatmap, atol=1e-4)


def test_batches_give_what_each_image_alone_gives(model, files):
    runs = []
    handle = model.model.backbone.register_forward_hook(lambda _, inputs, __: runs.append(len(inputs[0])))
    found = list(px.explain_many(model, files, batch_size=2, rows=3))
    handle.remove()
    assert runs == [2, 1]
    for many, path in zip(found, files, strict=True):
        assert_same(many, px.explain(model, path, rows=3))


def test_each_explanation_holds_no_more_than_its_own_image(model, files):
    first, *_ = px.explain_many(model, files, batch_size=3)
    forward_pass = first._explained.forward.forward_pass
    for tensor in (forward_pass.picture, forward_pass.activations, forward_pass.maps[0]._base):
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_bad_images_are_named_and_the_others_explained(model, files, damaged, batch_size):
    watcher, images = Watcher(), [damaged, files[0], np.zeros(5), files[1], damaged.with_name("missing.png")]
    found = px.explain_many(model, images, batch_size=batch_size, watcher=watcher)
    assert [one.image for one in found] == [files[0].name, files[1].name]
    assert [image.name for image in found.refused] == ["damaged.jpg", "image 2", "missing.png"]
    assert "shape (5,)" in found.refused[1].error.what
    assert [line.split(": ")[1] for line in watcher.lines] == ["damaged.jpg", "image 2", "missing.png"]
    assert watcher.steps[-1] == (5, 5)
    assert watcher.steps == sorted(set(watcher.steps))


def test_without_a_watcher_a_warning_tells(model, file, damaged):
    with pytest.warns(UserWarning, match=r"left out: damaged\.jpg: the file is a text"):
        assert len(list(px.explain_many(model, [file, damaged]))) == 1


def test_one_table_of_all(model, files, damaged):
    with Image.open(files[1]) as image:
        image = image.convert("RGB")
    found = px.explain_many(model, {"first": files[0], "bad": damaged, "second": image}, rows=2, watcher=Watcher())
    table = found.to_frame()
    assert list(table["image"]) == ["first"] * 2 + ["second"] * 2
    assert [image.name for image in found.refused] == ["bad"]
    expected = pandas.concat([px.explain(model, path, rows=2).to_frame() for path in files[:2]], ignore_index=True)
    pandas.testing.assert_frame_equal(table.drop(columns="image"), expected.drop(columns="image"), atol=1e-4)
    assert list(found) == [], "it was gone through"
    nothing = px.explain_many(model, []).to_frame()
    assert len(nothing) == 0
    assert list(nothing.columns) == list(table.columns)


def test_images_are_read_when_their_batch_comes(model, files):
    asked, watcher = [], Watcher()

    def images():
        for path in files:
            asked.append(path)
            yield path

    found = px.explain_many(model, images(), batch_size=2, watcher=watcher)
    assert asked == []
    next(found)
    assert len(asked) == 2
    assert len(list(found)) == 2
    assert watcher.steps == [(1, 2), (2, 3), (3, 4), (3, 3)]


def test_a_batch_of_tensors_is_many_images(model, files):
    batch = torch.cat([model.preprocess(path) for path in files[:2]])
    names = [one.image for one in px.explain_many(model, batch)]
    assert names == ["image 0", "image 1"]


def test_refusals(model, file):
    with pytest.raises(px.UserError, match="0 images cannot be a batch"):
        px.explain_many(model, [file], batch_size=0)
    with pytest.raises(px.UserError, match="one image is not many"):
        px.explain_many(model, file)


def test_one_image_explains_as_before(model, file):
    """A name that is given to an image is all that changes."""
    (found,) = px.explain_many(model, {"bird": file}, batch_size=1)
    assert replace(found.explanation, image=file.name) == px.explain(model, file).explanation
