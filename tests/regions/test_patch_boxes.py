"""The training patch of a prototype is marked by the same rule as the picture that is explained."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from metrics.measured_checkpoints import keep_checkpoint
from patch_maps import assert_maps_fit, marked
from unsplit import as_of_older_program

from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.loading import geometry_of
from protoexplain.data.read import read_image_set
from protoexplain.explanations.evidence.match import matches
from protoexplain.explanations.explainer import Explainer
from protoexplain.regions.box_rules import BestCell, Percentile
from protoexplain.regions.patch_boxes import marked_by

CELL = BestCell()
FAMILIES = ("protopnet", "st_protopnet", "cbc", "prototypedl")


@pytest.fixture(scope="module")
def explainer(planted, tmp_path_factory):
    folder, kept = tmp_path_factory.mktemp("patches"), {}

    def made(family):
        if family not in kept:
            kept[family] = Explainer(keep_checkpoint(family, planted, folder / family))
        return kept[family]

    return made


@pytest.fixture
def bird(planted):
    return read_image_set(planted).split("test")[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_rule_of_projection_gives_what_was_recorded(family, explainer):
    assert_maps_fit(explainer(family).checkpoint)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_best_cell_is_the_recorded_one(family, explainer, planted):
    made = explainer(family)
    size, images = made.checkpoint.config.data.image_size, {r.id: r for r in read_image_set(planted).records}
    for record in marked(made.checkpoint, CELL):
        cell = Geometry(Box(0, 0, size, size), size).cell_box(
            record.row, record.column, record.map_height, record.map_width
        )
        assert record.input_box == tuple(cell.as_list())
        image = images[record.image_id]
        geometry = geometry_of(image, record.source_size, made.checkpoint.data.crop, size)
        assert record.box == pytest.approx(tuple(geometry.box_to_source(cell).as_list()))


def test_an_explanation_marks_patches_by_its_own_rule(explainer, bird):
    made = explainer("protopnet")
    result = made.explain(bird.path, box=bird.box, box_rule=CELL)
    patches = [match.patch for shown in result.explanation.classes for match in shown.found]
    assert patches
    for patch in patches:
        assert patch.input_box == marked(made.checkpoint, CELL)[patch.index].input_box
        assert patch.input_box != made.record(patch.index).input_box
    contrast = made.contrast(result.forward, box_rule=CELL)
    told = [part.for_this for part in contrast.separations]
    change = made.what_would_change(result.forward, box_rule=CELL)
    told += [part.match for part in change.removed] if change else []
    assert told
    for match in told:
        assert match.patch.input_box == marked(made.checkpoint, CELL)[match.prototype].input_box
        assert match.box == matches(result.forward.forward_pass, [0], [match.prototype], CELL)[0][match.prototype].box


def test_pictures_of_patches_follow_the_rule(explainer):
    made = explainer("protopnet")
    x0, y0, x1, y1 = map(int, marked(made.checkpoint, CELL)[0].input_box)
    assert made.patch(0, CELL).shape == (y1 - y0, x1 - x0, 3)
    assert made.patch(0).shape != made.patch(0, CELL).shape
    for index in range(len(made.checkpoint.prototypes)):
        for kind, shown in (("patch", made.patch(index)), ("source", made.source(index))):
            assert made.pictures.size(index, kind) == (shown.shape[1], shown.shape[0])
    assert not np.array_equal(made.source(0), made.source(0, CELL))


def test_prototypes_that_the_model_draws_stay_whole(explainer):
    made = explainer("prototypedl")
    assert np.array_equal(made.patch(0), made.patch(0, CELL))


def test_without_maps_the_recorded_boxes_stay(explainer, tmp_path):
    old = Explainer(as_of_older_program(explainer("protopnet").checkpoint, tmp_path / "old"))
    assert marked(old.checkpoint, CELL) == old.checkpoint.prototypes
    assert np.array_equal(old.patch(0), old.patch(0, CELL))


def test_a_prototype_without_image_has_no_box(explainer):
    record = explainer("protopnet").record(0)
    lost = replace(record, image_id=None, box=None, input_box=None)
    assert marked_by(lost, torch.rand(4, 4), Percentile(50), 64) == lost
