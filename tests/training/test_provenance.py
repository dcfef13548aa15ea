"""Records and pictures say where a prototype comes from."""

import hashlib
import io

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import SIZE, clean_batches, draw, fresh, project, run_data

from protoexplain.data.geometry import Box
from protoexplain.errors import UserError
from protoexplain.regions.box_rules import DEFAULT
from protoexplain.training.projection import search
from protoexplain.training.provenance import data_info, provenance


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return run_data(tmp_path_factory.mktemp("noise"))


def described(family, data, projected=True):
    config, model = fresh(family)
    patches, _ = project(config, model, data)
    return model, patches, provenance(model, patches, data.train, data.crop, SIZE, projected)


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)), dtype=float)


@pytest.mark.parametrize("family", ["protopnet", "st_protopnet", "evalprotopnet", "cbc"])
def test_records_follow_the_patches(family, data):
    model, patches, origin = described(family, data)
    image = torch.cat([found.image for found in patches]).tolist()
    cells = torch.cat([torch.stack([found.row, found.column], 1) for found in patches]).tolist()
    similarity = torch.cat([found.similarity for found in patches]).tolist()
    assert [record.index for record in origin.records] == list(range(model.num_prototypes))
    assert [record.original_index for record in origin.records] == list(range(model.num_prototypes))
    assert [record.branch for record in origin.records] == model.prototype_branch()
    assert [record.label for record in origin.records] == model.ownership.labels.tolist()
    assert [record.image_id for record in origin.records] == [data.train[place].id for place in image]
    assert [[record.row, record.column] for record in origin.records] == cells
    assert [record.similarity for record in origin.records] == similarity
    assert {(record.map_height, record.map_width) for record in origin.records} == {tuple(patches[0].maps.shape[1:])}
    assert all(record.projected and record.source_size == (90, 70) for record in origin.records)


def test_boxes_are_those_of_the_activation_map(data):
    model, (found,), origin = described("protopnet", data)
    (_, branch), *_ = model.named_branches()
    for i, record in enumerate(origin.records):
        (expected,) = DEFAULT(branch.activation(found.maps[i : i + 1]), SIZE)
        assert record.input_box == tuple(expected.as_list())
        crop = data.train[int(found.image[i])].box
        x0, y0, x1, y1 = record.box
        assert x0 == pytest.approx(crop.x0 + record.input_box[0] * crop.width / SIZE)
        assert y1 == pytest.approx(crop.y0 + record.input_box[3] * crop.height / SIZE)
        assert crop.x0 <= x0 < x1 <= crop.x1
        assert crop.y0 <= y0 < y1 <= crop.y1


@pytest.mark.parametrize("crop", ["box", "full"])
def test_pictures_show_what_the_network_saw(tmp_path, crop):
    data = run_data(tmp_path, crop)
    config, model = fresh("protopnet")
    patches, _ = project(config, model, data)
    origin = provenance(model, patches, data.train, crop, SIZE, True)
    dataset = data.dataset(data.train, config.data)
    place = {record.id: i for i, record in enumerate(data.train)}
    for record in origin.records:
        seen = dataset.pixels(place[record.image_id])[0].permute(1, 2, 0).numpy().astype(float)
        assert np.abs(decoded(origin.pictures[record.source]) - seen).mean() < 4
        x0, y0, x1, y1 = map(int, record.input_box)
        patch = decoded(origin.pictures[record.patch])
        assert patch.shape == (y1 - y0, x1 - x0, 3)
        assert np.abs(patch - seen[y0:y1, x0:x1]).mean() < 6


@torch.no_grad()
def test_drawn_prototypes_are_shown_beside_their_nearest_image(data):
    config, model = fresh("prototypedl", latent_channels=16)
    for layer in model.decoder.layers:
        layer.weight.copy_(torch.randn(layer.weight.shape) / 8)
    patches = search(model, clean_batches(data, config))
    origin = provenance(model, patches, data.train, data.crop, SIZE, False)
    pictures = 255 * model.decoded_prototypes().permute(0, 2, 3, 1).numpy()
    assert pictures.std(0).mean() > 3, "prototypes look different"
    for record, picture in zip(origin.records, pictures, strict=True):
        assert np.abs(decoded(origin.pictures[record.patch]) - picture).mean() < 6
        assert record.input_box == (0, 0, SIZE, SIZE)
        assert record.source.startswith("image-")
        assert not record.projected


def test_each_image_is_stored_once_and_hashed(data):
    _, _, origin = described("cbc", data, projected=False)
    sources = {record.image_id: record.source for record in origin.records}
    assert len(origin.pictures) == len(origin.records) + len(set(sources.values()))
    assert len(set(sources.values())) == len(sources) < len(origin.records)
    for record in origin.records:
        path = next(image.path for image in data.train if image.id == record.image_id)
        assert record.image_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert not record.projected


def test_prototype_of_a_class_without_images_has_no_origin(data):
    config, model = fresh("protopnet", classes=("Wren", "Robin", "Crow", "Dodo"))
    patches = search(model, clean_batches(data, config))
    origin = provenance(model, patches, data.train, data.crop, SIZE, True)
    lost = [record for record in origin.records if record.label == 3]
    assert len(lost) == 2
    for record in lost:
        assert (record.image_id, record.similarity, record.box, record.patch, record.source) == (None,) * 5
        assert not record.projected
    assert all(record.image_id for record in origin.records if record.label != 3)


def test_progress_counts_images_and_lost_images_are_told(tmp_path):
    data = run_data(tmp_path)
    config, model = fresh("protopnet")
    patches, _ = project(config, model, data)
    told = []
    origin = provenance(
        model, patches, data.train, data.crop, SIZE, True, lambda done, total: told.append((done, total))
    )
    count = len({record.image_id for record in origin.records})
    assert told == [(i + 1, count) for i in range(count)]
    data.train[int(patches[0].image[0])].path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        provenance(model, patches, data.train, data.crop, SIZE, True)


def test_boxes_in_the_file_follow_its_shape(tmp_path):
    data = run_data(tmp_path, "full")
    for record in data.train:
        draw(record.path, 5, (120, 40))
    config, model = fresh("protopnet")
    patches, _ = project(config, model, data)
    for record in provenance(model, patches, data.train, "full", SIZE, True).records:
        assert record.source_size == (120, 40)
        x0, y0, x1, y1 = record.box
        assert (x1 - x0) / (y1 - y0) == pytest.approx(3 * Box(*record.input_box).width / Box(*record.input_box).height)


def test_data_info_counts_what_was_used(data):
    info = data_info(data)
    assert (info.name, info.source, info.crop) == ("Noise", "folder", "box")
    assert (info.train_images, info.validation_images, info.test_images) == (12, 0, 0)
    assert info.fingerprint == data.image_set.fingerprint()
