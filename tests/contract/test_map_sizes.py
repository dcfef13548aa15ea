"""Prototypes with maps of two sizes in one model: everything works by the prototype's own map."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import two_sizes
from PIL import Image
from tiny_runs import tiny_train
from variants import also_known

from benchmarks.distinctions import place_of
from protoexplain.data.dataset_view import view_of_run
from protoexplain.data.geometry import Box, Geometry
from protoexplain.editing.candidates import box_of, candidates
from protoexplain.editing.preview import open_preview
from protoexplain.explanations.attribution.task import Target
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.overlays import match_heat
from protoexplain.explanations.prototypes.prototype import explain_prototypes
from protoexplain.metrics.observe.images import read_test_images
from protoexplain.metrics.observe.model_description import describe_model
from protoexplain.metrics.observe.passes import BestCells, Chunk
from protoexplain.metrics.observe.peaks import peaks
from protoexplain.metrics.runner import measure
from protoexplain.metrics.scores.purity import patch_edges
from protoexplain.progress import Silent
from protoexplain.regions.boxes import upsample
from protoexplain.training.checkpoint_ops import reproject
from protoexplain.training.verify import verify
from protoexplain.view.build import explanation_view
from protoexplain.view.contact_sheet import ImageRegions, contact_sheet
from protoexplain.view.sheet import SheetPictures, sheet

SIZE, SCHEDULE = 64, {"warm_epochs": 1, "projections": [1], "last_layer_epochs": 1}
EXTENTS = {"1 x 1": (4, 4), "2 x 2": (3, 3)}


@pytest.fixture(scope="module")
def made(planted, tmp_path_factory):
    """A trained checkpoint of the family, which is known while the tests of this file run."""
    with also_known({two_sizes.NAME: two_sizes.FAMILY}):
        out = tmp_path_factory.mktemp("two") / "run"
        yield tiny_train(two_sizes.NAME, planted, out, schedule=SCHEDULE).checkpoint


@pytest.fixture(scope="module")
def explainer(made):
    return Explainer(made)


@pytest.fixture(scope="module")
def data(made, planted):
    return view_of_run(made.config.data, planted)


@pytest.fixture(scope="module")
def forward(explainer, data):
    return explainer.forward(data.test[0].path, box=data.test[0].box)


def extents(model):
    return [EXTENTS[name] for name in model.prototype_branch()]


@torch.no_grad()
def test_each_branch_has_maps_of_its_own_size(explainer):
    model, pictures = explainer.model, torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    features = model.backbone(pictures)
    maps = model.activation_maps(features)
    assert [tuple(each.shape) for each in maps] == [(3, 8, *extent) for extent in EXTENTS.values()]
    best = torch.cat([each.flatten(2).amax(2) for each in maps], 1)
    torch.testing.assert_close(best, model(pictures).activations, rtol=1e-5, atol=1e-5)


def test_projection_is_proved_with_the_data(made, data):
    assert [(r.map_height, r.map_width) for r in made.prototypes] == extents(made.model())
    found = verify(made, data)
    assert found.passed, found.as_text()


@pytest.mark.parametrize("rule", ["percentile", "share", "cell", "receptive-field"])
def test_explained_by_every_rule_for_boxes(explainer, forward, rule):
    told = explainer.explain(forward, rows=100, box_rule=explainer.box_rule(rule)).explanation
    geometry = forward.forward_pass.geometry
    json.dumps(told.to_dict(), allow_nan=False)
    assert told.check() < 1e-4
    matches = told.classes[0].found
    assert {match.prototype for match in matches} == set(range(16))
    for match in matches:
        height, width = extents(explainer.model)[match.prototype]
        cells = told.maps[match.prototype]
        assert cells.shape == (height, width)
        assert cells[match.cell] == cells.max() == pytest.approx(match.similarity, abs=1e-4)
        centre = ((match.cell[1] + 0.5) * SIZE / width, (match.cell[0] + 0.5) * SIZE / height)
        assert match.peak == pytest.approx(geometry.to_source(*centre))
        whole = {"cell": Geometry(Box(0, 0, SIZE, SIZE), SIZE).cell_box(*match.cell, height, width)}
        fields = {"receptive-field": explainer.fields[height, width].box(*match.cell)}
        (alone,) = explainer.box_rule(rule)(torch.from_numpy(cells)[None], SIZE)
        expected = (whole | fields).get(rule, alone)
        assert match.box == pytest.approx(tuple(geometry.box_to_source(expected).as_list()))


def test_drawn(explainer, forward):
    result = explainer.explain(forward, rows=100)
    told, shown = result.explanation, result.explanation.classes[0]
    found = tuple(match for match in shown.found if match.prototype in (0, 15))
    heat = [match_heat(told, match, result.rgb) for match in found]
    assert heat[0].shape == heat[1].shape
    few = replace(told, classes=(replace(shown, found=found),))
    pictures = SheetPictures(few, result.rgb, explainer.patch, explainer.source)
    picture = sheet(explanation_view(few, pictures), pictures.arrays)
    assert Image.open(io.BytesIO(picture)).format == "PNG"


def test_fields_of_larger_prototypes_are_larger(explainer):
    fields = explainer.fields
    assert {extent: (len(field.rows), len(field.columns)) for extent, field in fields.items()} == {
        extent: extent for extent in EXTENTS.values()
    }
    assert fields[3, 3].rows[0] == (fields[4, 4].rows[0][0], fields[4, 4].rows[1][1])


def test_answers_about_an_image(explainer, forward):
    told = explainer.explain(forward, rows=16).explanation
    tried = explainer.occlusion_test(forward, told.classes[0].found, random_boxes=1)
    assert tried.keys() == set(range(16))
    assert explainer.contrast(forward).check() < 1e-4
    measured = explainer.characteristics(forward, [0, 15])
    assert all(math.isfinite(score) for one in measured.values() for score in one.published.values())


def test_map_of_a_class_adds_the_maps_of_its_prototypes(explainer, forward):
    found = explainer.attribute(forward, Target("class", 1), ["map"], ()).maps["map"]
    weights = explainer.model.class_weights()[1].tolist()
    expected = sum(w * upsample(cells, SIZE, SIZE) for w, cells in zip(weights, forward.forward_pass.maps, strict=True))
    np.testing.assert_allclose(found.heat, expected.detach().numpy(), rtol=1e-3, atol=1e-4)
    for prototype in (0, 15):
        field = explainer.attribute(forward, Target("prototype", prototype), ["receptive-field"], ())
        assert 0 < field.maps["receptive-field"].heat.mean() <= 1


def test_place_of_a_decision_joins_cells_of_both_sizes(explainer, forward):
    """Most of the evidence for one class against another lies in the cells around the best ones."""
    mask = place_of(explainer.model, forward.picture, SIZE, 0, 1)
    assert mask.shape == (SIZE, SIZE)
    weights = explainer.model.class_weights()
    evidence = ((weights[0] - weights[1]) * forward.forward_pass.activations).clamp_min(0).tolist()
    covered = []
    for cells in forward.forward_pass.maps:
        height, width = cells.shape
        row, column = divmod(int(cells.argmax()), width)
        covered.append(mask[int((row + 0.5) * SIZE / height), int((column + 0.5) * SIZE / width)])
    held = sum(value for value, inside in zip(evidence, covered, strict=True) if inside)
    assert held >= 0.8 * sum(evidence) > 0


def test_nearest_patches_and_their_sheet(explainer, data):
    splits = {name: data.dataset(getattr(data, name), explainer.checkpoint.config.data) for name in ("train", "test")}
    told = explain_prototypes(explainer.model, explainer.checkpoint.prototypes, explainer.checkpoint.classes, splits, 2)
    pictures = torch.stack([splits["test"][i][0][0] for i in range(len(data.test))])
    with torch.no_grad():
        by_branch = explainer.model.activation_maps(explainer.model.backbone(pictures))
    maps = [each for part in by_branch for each in part.unbind(1)]
    for p, entry in enumerate(told):
        best = maps[p].flatten(1).amax(1)
        for neighbour, expected in zip(entry.splits["test"].nearest, best.topk(2).values.tolist(), strict=True):
            image = [record.id for record in data.test].index(neighbour.image)
            assert neighbour.similarity == pytest.approx(expected, rel=1e-4, abs=1e-5)
            assert float(maps[p][image][neighbour.cell]) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    for p in (0, 15):
        picture = contact_sheet(told[p], explainer.checkpoint.classes, ImageRegions(splits), explainer.patch(p))
        assert Image.open(io.BytesIO(picture)).format == "JPEG"


def test_all_metrics_are_measured(made, planted):
    results = measure(made, planted, settings={"resamples": 100, "draws": 1, "steps": 2})
    assert {"consistency", "stability", "purity", "heatmap_iou", "deletion", "augmentation_consistency"} <= set(results)
    nothing = {name: result.score.excluded for name, result in results.items() if not result.score.n_used}
    assert all(name.startswith(("conditioned_", "quanproto_")) for name in nothing), "no prototype of these is active"
    assert all(sum(reasons.values()) in (8, 16) for reasons in nothing.values())
    assert all(math.isfinite(result.score.value) for name, result in results.items() if name not in nothing)
    assert all(len(result.score.per_prototype) == 16 for name, result in results.items() if name == "purity")


@torch.no_grad()
def test_what_metrics_see_is_each_prototypes_own_map(explainer, made, planted):
    images, model = read_test_images(made, planted), explainer.model
    description = describe_model(model, made.classes, SIZE, 10)
    assert [tuple(extent) for extent in description.map_sizes.tolist()] == extents(model)
    assert description.finest_map == (4, 4)
    dataset = images.dataset()
    pictures = torch.stack([dataset[i][0][0] for i in range(len(dataset))])
    chunk = Chunk(model, description, pictures, images.labels, images.records, images.geometries)
    features = model.backbone(pictures)
    similarity = [m for _, b in model.named_branches() for m in b.similarity_maps(features).unbind(1)]
    activated = [m for part in model.activation_maps(features) for m in part.unbind(1)]
    cells = BestCells()(chunk)["cells"]
    for image, label in enumerate(images.labels.tolist()):
        for slot, prototype in enumerate(description.assigned[label].tolist()):
            assert torch.equal(chunk.own_peaks[image, slot].long(), peaks(similarity[prototype][image], SIZE))
            assert cells[image, prototype] == similarity[prototype][image].argmax()
        own = [activated[p][image] for p in description.assigned[label].tolist()]
        fine = [each if each.shape == (4, 4) else upsample(each, 4, 4) for each in own]
        torch.testing.assert_close(chunk.heat[image], torch.stack(fine).mean(0), rtol=1e-4, atol=1e-5)


def test_patches_lie_in_their_own_maps():
    """The last cell of a line ends at the border of the picture, whatever the length of the line."""
    lengths = torch.tensor([4, 3, 1])
    start, end = patch_edges(lengths - 1, lengths, SIZE)
    assert end.tolist() == [SIZE] * 3
    start, _ = patch_edges(torch.ones(3, dtype=torch.long).clamp_max(lengths - 1), lengths, SIZE)
    assert start[0] < start[1], "the second of four cells begins before the second of three"


def test_projected_again_and_edited(made, planted, data, tmp_path):
    again = reproject(made.path, planted, tmp_path / "again", Silent(), "", 1).checkpoint
    found = verify(again, data)
    assert found.passed, found.as_text()
    preview = open_preview(made, planted)
    for prototype in (0, 15):
        offered = candidates(preview, prototype)
        assert offered
        assert offered[0].map.shape == extents(made.model())[prototype]
        assert box_of(preview, prototype, offered[0]).area > 0
