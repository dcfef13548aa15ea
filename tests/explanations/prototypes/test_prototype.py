"""Prototype explanations of every family: against a search over all images and cells one by one."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import maps_of

from protoexplain.data.dataset_view import view_of_run
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.loading import ImageDataset
from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.prototypes.prototype import explain_prototypes
from protoexplain.io import images
from protoexplain.io.images import image_size, load_image
from protoexplain.models.registry import family_names
from protoexplain.regions.box_rules import BestCell
from protoexplain.view.contact_sheet import ImageRegions, contact_sheet

K, SHARE = 3, 0.6


class Told:
    """A trained checkpoint and what is told of its prototypes."""

    def __init__(self, checkpoint, planted):
        self.explainer = Explainer(checkpoint)
        config = self.explainer.checkpoint.config
        data = view_of_run(config.data, planted)
        self.splits = {name: data.dataset(getattr(data, name), config.data) for name in ("train", "test")}
        self.progress = []
        self.prototypes = self.tell(progress=lambda *count: self.progress.append(count))

    def tell(self, splits=None, **options):
        checkpoint, splits = self.explainer.checkpoint, splits or self.splits
        return explain_prototypes(
            self.explainer.model, checkpoint.prototypes, checkpoint.classes, splits, K, SHARE, **options
        )

    @torch.no_grad()
    def maps(self, split):
        """Activation maps [N,P,H,W], one image after the other."""
        pictures = [self.splits[split][i][0] for i in range(len(self.splits[split]))]
        model = self.explainer.model
        return torch.cat([maps_of(model, model.backbone(picture)) for picture in pictures])


@pytest.fixture(params=family_names(), scope="module")
def told(request, planted, tiny_checkpoint):
    return Told(tiny_checkpoint(request.param), planted)


@pytest.mark.parametrize("split", ["train", "test"])
def test_against_a_search_over_all_images(told, split):
    maps, dataset = told.maps(split), told.splits[split]
    best = maps.flatten(2).amax(2)
    ownership = told.explainer.model.ownership
    for p, entry in enumerate(told.prototypes):
        found = entry.splits[split]
        assert [entry.prototype, entry.prototype_label] == [p, int(ownership.labels[p])]
        owned = ownership.owned[p] & ~ownership.shared_by_all[p]
        own = [i for i, record in enumerate(dataset.records) if owned[record.label]]
        for neighbours, candidates in ((found.nearest, range(len(dataset))), (found.nearest_own, own)):
            expected = sorted((float(best[i, p]) for i in candidates), reverse=True)[:K]
            assert [n.similarity for n in neighbours] == pytest.approx(expected, rel=1e-4, abs=1e-5)
            for neighbour in neighbours:
                (i,) = [i for i in candidates if dataset.records[i].id == neighbour.image]
                assert neighbour.label == dataset.records[i].label
                assert float(best[i, p]) == pytest.approx(neighbour.similarity, rel=1e-4, abs=1e-5)
                assert float(maps[i, p][neighbour.cell]) == pytest.approx(neighbour.similarity, rel=1e-4, abs=1e-5)
        labels = [n.label for n in found.nearest]
        if not owned.any():
            assert found.foreign is None
            assert found.nearest_own == ()
        else:
            assert found.foreign == pytest.approx(sum(not owned[label] for label in labels) / K)


def test_fires_above_a_share_of_the_highest_other_training_activation(told):
    best = {split: told.maps(split).flatten(2).amax(2) for split in ("train", "test")}
    ids = [record.id for record in told.splits["train"].records]
    for p, entry in enumerate(told.prototypes):
        record = told.explainer.record(p)
        own = record.image_id if record.projected else None
        others = [float(v) for i, v in zip(ids, best["train"][:, p], strict=True) if i != own]
        if max(others) <= 0:
            assert entry.level is None
            continue
        assert entry.level == pytest.approx(SHARE * max(others), rel=1e-4)
        for split, values in best.items():
            certain = (values[:, p] >= entry.level * (1 + 1e-4)).double().mean()
            possible = (values[:, p] >= entry.level * (1 - 1e-4)).double().mean()
            assert certain <= entry.splits[split].fires <= possible


def test_boxes_lie_over_the_cells_in_pixels_of_the_images(told):
    dataset = told.splits["test"]
    records, side = {record.id: record for record in dataset.records}, told.maps("test").shape[2]
    for entry in told.tell(box_rule=BestCell()):
        for neighbour in entry.splits["test"].nearest:
            record = records[neighbour.image]
            geometry = Geometry.of(image_size(record.path), record.box, dataset.size)
            box = geometry.box_to_source(geometry.cell_box(*neighbour.cell, side, side))
            assert neighbour.box == pytest.approx(tuple(box.as_list()))
            x0, y0, x1, y1 = neighbour.box
            assert geometry.crop.x0 <= x0 < x1 <= geometry.crop.x1
            assert geometry.crop.y0 <= y0 < y1 <= geometry.crop.y1


def test_weights_are_the_strongest_of_the_head(told):
    weights = told.explainer.model.class_weights().T.tolist()
    for row, entry in zip(weights, told.prototypes, strict=True):
        assert [w.weight for w in entry.weights] == sorted(row, key=lambda value: -abs(value))
        assert all(row[w.label] == w.weight for w in entry.weights)
        assert [told.explainer.checkpoint.classes[w.label] for w in entry.weights] == [w.name for w in entry.weights]


def test_reasoning_names_the_concepts_that_a_component_matters_to(tiny_checkpoint, planted):
    explainer = Explainer(tiny_checkpoint("shallow_cbc"))
    told = explain_prototypes(explainer.model, explainer.checkpoint.prototypes, explainer.checkpoint.classes, {})
    positive, negative = (side.detach() for side in explainer.model.branch.head.reasoning())
    for index, entry in enumerate(told):
        sizes = [one.positive + one.negative for one in entry.reasoning]
        assert sizes == sorted(sizes, reverse=True)
        for one in entry.reasoning:
            column = 2 * one.label + one.concept
            assert (one.positive, one.negative) == (float(positive[index, column]), float(negative[index, column]))
            assert (one.name, one.indefinite) == (explainer.checkpoint.classes[one.label], None)


def test_progress_and_json(told):
    images = sum(len(dataset) for dataset in told.splits.values())
    assert [done for done, _ in told.progress] == sorted({done for done, _ in told.progress})
    assert told.progress[-1] == (images, images)
    content = json.loads(json.dumps([entry.to_dict() for entry in told.prototypes], allow_nan=False))
    assert content[0]["splits"]["train"]["nearest"][0].keys() == {"image", "label", "similarity", "cell", "box"}
    assert content[0]["patch"]["image_id"] == told.explainer.record(0).image_id


def test_contact_sheet(told):
    region = ImageRegions(told.splits)
    classes, sizes = told.explainer.checkpoint.classes, []
    for entry in told.prototypes[:3]:
        patch, source = told.explainer.patch(entry.prototype), told.explainer.source(entry.prototype)
        with Image.open(io.BytesIO(contact_sheet(entry, classes, region, patch, source))) as picture:
            assert picture.format == "JPEG"
            sizes.append(picture.size)
            assert (np.asarray(picture) < 250).any(2).mean() > 0.1, "something is drawn"
    assert len({width for width, _ in sizes}) == 1
    plain = contact_sheet(told.prototypes[0], classes, region)
    assert Image.open(io.BytesIO(plain)).size == sizes[0]


def test_regions_are_what_the_model_saw(told):
    dataset, region = told.splits["test"], ImageRegions(told.splits)
    neighbour = told.prototypes[0].splits["test"].nearest[0]
    (record,) = [record for record in dataset.records if record.id == neighbour.image]
    picture, box = region("test", neighbour)
    corner = Box(*map(int, record.box.as_list()))
    rgb = load_image(record.path).rgb
    assert (picture == rgb[int(corner.y0) : int(corner.y1), int(corner.x0) : int(corner.x1)]).all()
    assert (box.x0 + corner.x0, box.y0 + corner.y0) == pytest.approx(neighbour.box[:2])


def test_regions_of_large_pictures_are_halved_with_their_boxes(told, monkeypatch):
    neighbour = told.prototypes[0].splits["test"].nearest[0]
    whole, box = ImageRegions(told.splits)("test", neighbour)
    monkeypatch.setattr(images, "MOST_KEPT", 100)
    half, small = ImageRegions(told.splits)("test", neighbour)
    assert np.array(half.shape[:2]) == pytest.approx(np.array(whole.shape[:2]) / 2, abs=1)
    assert small.as_list() == pytest.approx([edge / 2 for edge in box.as_list()], abs=1)


def test_an_image_that_vanished_is_named(told, tmp_path):
    tests = list(told.splits["test"].records)
    tests[0] = replace(tests[0], path=tmp_path / "gone.png")
    with pytest.raises(UserError, match="gone"):
        told.tell({"test": ImageDataset(tests, "box", 64)})
