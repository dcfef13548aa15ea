"""Example pictures come from test images, or from the checkpoint; nothing else can be asked for."""

from __future__ import annotations

import io
import shutil

import pytest
from PIL import Image

from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError
from protoexplain_app.examples import THUMBNAIL_SIDE, Examples
from protoexplain_app.tabs.explain.actions import explain_image


def test_examples_are_test_images_class_by_class_in_turn(birds, store, examples):
    input_images = examples.of(store.listed("a-protopnet").checkpoint)
    test_images = {record.id for record in read_image_set(birds).split("test")}
    assert {input_image.key for input_image in input_images} == test_images
    assert len({input_image.truth for input_image in input_images[:4]}) == 4
    assert all(input_image.box is not None for input_image in input_images)


def test_examples_have_the_same_order_every_time(birds, store, examples):
    checkpoint = store.listed("a-protopnet").checkpoint
    assert examples.of(checkpoint) == Examples(birds).of(checkpoint)


def test_unreadable_images_are_left_out(birds, tmp_path, store):
    copy = shutil.copytree(birds, tmp_path / "birds")
    victim = next(record for record in read_image_set(copy).split("test"))
    victim.path.write_bytes(b"no picture")
    keys = [input_image.key for input_image in Examples(copy).of(store.listed("a-protopnet").checkpoint)]
    assert victim.id not in keys
    assert len(keys) == 11


def test_without_data_the_checkpoint_brings_its_own_pictures(store, tmp_path):
    explainer = store.explainer("a-protopnet")
    examples = Examples(None)
    input_images = examples.of(explainer.checkpoint)
    assert len(input_images) >= 4
    case = explain_image(explainer, input_images[0])
    assert case.picture.region is None
    assert case.truth in explainer.checkpoint.classes


@pytest.mark.parametrize("key", ["../../etc/passwd", "", "images/nothing.jpg"])
def test_only_listed_examples_are_found(store, examples, key):
    with pytest.raises(UserError, match="no such example"):
        examples.find(store.listed("a-protopnet").checkpoint, key)


def test_thumbnails_are_small_copies_of_what_is_listed(store, examples):
    input_image = examples.of(store.listed("a-protopnet").checkpoint)[0]
    with Image.open(io.BytesIO(examples.thumbnail(input_image.token))) as image:
        assert max(image.size) <= 2 * THUMBNAIL_SIDE
        assert image.format == "JPEG"
    with pytest.raises(UserError):
        examples.thumbnail("0" * 24)


def test_the_data_set_speaks_only_for_models_that_learned_from_it(birds, store, examples, planted):
    checkpoint = store.listed("a-protopnet").checkpoint
    assert examples.images_of(checkpoint).name == read_image_set(birds).name
    assert Examples(planted).images_of(checkpoint) is None


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(UserError):
        Examples(tmp_path / "missing")
