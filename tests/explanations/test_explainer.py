"""A checkpoint explains files: the right cut, the right names and pictures."""

import functools
import io
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_runs import SCHEDULES

from protoexplain import Explainer
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import view_of_run
from protoexplain.data.geometry import Box
from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError
from protoexplain.explanations.attribution.task import Target
from protoexplain.explanations.evidence.what_if import Edit
from protoexplain.io import images
from protoexplain.view.build import explanation_view
from protoexplain.view.sheet import SheetPictures, sheet


@pytest.fixture(scope="module")
def made(tiny_checkpoint):
    """Family -> explainer of its checkpoint, loaded once."""
    return functools.cache(lambda family: Explainer(tiny_checkpoint(family)))


@pytest.fixture
def bird(planted):
    return read_image_set(planted).split("test")[3]


def as_png(rgb):
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "PNG")
    stream.seek(0)
    return stream


@pytest.mark.parametrize("family", SCHEDULES)
def test_sheet_from_a_trained_checkpoint(family, made, bird):
    explainer = made(family)
    result = explainer.explain(bird.path, box=bird.box, top_classes=2, rows=3)
    assert result.explanation.image == bird.path.name
    assert result.explanation.check() < 1e-4
    probabilities = family in ("cbc", "shallow_cbc", "prototree")
    assert result.explanation.unit == explainer.unit == ("probability" if probabilities else "logit")
    shown = result.explanation.classes[0]
    for match in shown.found:
        record = explainer.record(match.prototype)
        assert record.label == match.prototype_label
        x0, y0, x1, y1 = record.input_box
        assert explainer.patch(match.prototype).shape == (int(y1) - int(y0), int(x1) - int(x0), 3)
        assert explainer.source(match.prototype).shape == (64, 64, 3)
    pictures = SheetPictures(result.explanation, result.rgb, explainer.patch, explainer.source)
    view = explanation_view(result.explanation, pictures)
    for row in view.rows:
        label = explainer.record(row.prototype).label
        several = explainer.checkpoint.owner_name(row.prototype)
        assert row.owner == (explainer.checkpoint.classes[label] if label >= 0 else several)
    picture = sheet(view, pictures.arrays)
    with Image.open(io.BytesIO(picture)) as image:
        assert 1300 < image.width < 1450
        assert 400 < image.height < 1200


def test_sees_what_training_and_evaluation_see(made, planted, bird):
    """The file with its box gives the scores of the data set's picture."""
    explainer = made("protopnet")
    config = explainer.checkpoint.config
    data = view_of_run(config.data, planted)
    (index,) = [i for i, record in enumerate(data.test) if record.id == bird.id]
    pictures, _, _ = data.dataset(data.test, config.data)[index]
    with torch.no_grad():
        logits = explainer.model(pictures).logits
        expected = logits[0] - logits.mean()
    told = explainer.explain(bird.path, box=bird.box).explanation
    scores = {prediction.label: prediction.score for prediction in told.predictions}
    torch.testing.assert_close(torch.tensor([scores[label] for label in range(4)]), expected, atol=1e-5, rtol=1e-5)
    chances = {prediction.label: prediction.probability for prediction in told.predictions}
    expected = explainer.model.probabilities(logits)[0]
    torch.testing.assert_close(torch.tensor([chances[label] for label in range(4)]), expected)
    assert told.geometry.crop == Box(*map(int, bird.box.as_list()))


def test_cut_file_gives_the_boxes_of_the_whole_one_moved(made, bird):
    """Boxes are in pixels of the file that was given."""
    explainer = made("st_protopnet")
    whole = explainer.explain(bird.path, box=Box(8, 4, 60, 50), rows=5)
    cut = explainer.explain(as_png(whole.rgb[4:50, 8:60]), rows=5)
    for one, two in zip(whole.explanation.classes[0].found, cut.explanation.classes[0].found, strict=True):
        assert one.prototype == two.prototype
        moved = (two.box[0] + 8, two.box[1] + 4, two.box[2] + 8, two.box[3] + 4)
        assert one.box == pytest.approx(moved)


def test_a_large_file_is_halved_with_its_box(made, bird, monkeypatch):
    explainer, rgb = made("protopnet"), np.asarray(Image.open(bird.path).convert("RGB"))
    small = explainer.explain(as_png(rgb), box=Box(8, 4, 60, 50), rows=5)
    large = as_png(rgb.repeat(2, 0).repeat(2, 1))
    monkeypatch.setattr(images, "MOST_KEPT", rgb.size // 3)
    halved = explainer.explain(large, box=Box(16, 8, 120, 100), rows=5)
    assert (halved.rgb == rgb).all()
    assert halved.explanation.classes == small.explanation.classes
    assert halved.explanation.geometry == small.explanation.geometry
    assert any("halved in width and height" in notice for notice in halved.explanation.notices)


def test_rotated_file_is_turned_upright_first(made, bird):
    rgb = np.asarray(Image.open(bird.path).convert("RGB"))
    turned, stream = Image.fromarray(np.rot90(rgb)), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(stream, "PNG", exif=exif)
    stream.seek(0)
    explainer = made("protopnet")
    plain, upright = explainer.explain(as_png(rgb), name="a"), explainer.explain(stream, name="a")
    assert (upright.rgb == rgb).all()
    assert upright.explanation.classes == plain.explanation.classes


def test_named_classes_and_names(made, bird):
    result = made("protopnet").explain(bird.path, name="my bird", labels=[3])
    assert result.explanation.image == "my bird"
    assert [shown.label for shown in result.explanation.classes] == [3]


def test_loaded_checkpoint_is_taken_as_it_is(made, bird):
    explainer = made("protopnet")
    again = Explainer(Checkpoint.load(explainer.checkpoint.path))
    assert again.title == "ProtoPNet"
    assert again.explain(bird.path).explanation == explainer.explain(bird.path).explanation


def test_needs_no_training_data(made, bird, tmp_path):
    folder = shutil.copytree(made("protopnet").checkpoint.path, tmp_path / "alone")
    explainer = Explainer(folder)
    assert all(explainer.source(index) is not None for index in range(len(explainer.checkpoint.prototypes)))
    assert explainer.explain(bird.path).explanation == made("protopnet").explain(bird.path).explanation


def test_unreadable_file(made, tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"x\.jpg"):
        made("protopnet").explain(tmp_path / "x.jpg")


def test_one_look_answers_all_questions(made, bird):
    explainer = made("protopnet")
    forward = explainer.forward(bird.path, box=bird.box)
    assert explainer.forward(forward) is forward
    told = explainer.explain(forward, rows=4)
    assert told.explanation == explainer.explain(bird.path, box=bird.box, rows=4).explanation
    assert told.rgb is forward.rgb
    contrast = explainer.contrast(forward)
    ranked = [prediction.label for prediction in told.explanation.predictions]
    assert [contrast.this.label, contrast.other.label] == ranked[:2]
    assert explainer.contrast(forward, ranked[3], ranked[1]).difference <= 0
    change = explainer.what_would_change(forward)
    assert change is None or change.outcome.label != ranked[0]
    tried = explainer.occlusion_test(forward, told.explanation.classes[0].found, random_boxes=5)
    assert list(tried) == [match.prototype for match in told.explanation.classes[0].found]
    assert (forward.picture == np.asarray(forward.picture, dtype=np.uint8)).all()
    assert forward.picture.shape == (64, 64, 3)


def test_patches_of_matches_are_the_records(made, bird):
    explainer = made("cbc")
    for match in explainer.explain(bird.path).explanation.classes[0].found:
        assert match.patch == explainer.record(match.prototype)


def test_attribution_beside_other_questions(made, bird):
    """Threads that explain while others attribute get what they would get alone."""
    explainer = made("protopnet")
    forward = explainer.forward(bird.path, box=bird.box)

    def attributed(prototype):
        methods = ["saliency", "grad-cam", "occlusion", "kernel-shap"]
        return explainer.attribute(forward, Target("prototype", prototype), methods, []).maps

    def explained(_):
        return explainer.explain(bird.path, box=bird.box).explanation

    alone = {prototype: attributed(prototype) for prototype in range(3)}
    expected = explained(0)
    with ThreadPoolExecutor(4) as pool:
        maps = [pool.submit(attributed, prototype) for prototype in (0, 1, 2, 0, 1, 2)]
        told = [pool.submit(explained, i) for i in range(6)]
        assert all(future.result() == expected for future in told)
        for prototype, future in zip((0, 1, 2, 0, 1, 2), maps, strict=True):
            for name, attribution in future.result().items():
                np.testing.assert_allclose(attribution.heat, alone[prototype][name].heat, rtol=1e-4, atol=1e-6)


def test_box_rules_and_class_names(made, bird):
    explainer = made("protopnet")
    rule = explainer.box_rule("receptive-field")
    told = explainer.explain(bird.path, box=bird.box, box_rule=rule).explanation
    assert told.box_rule == "receptive-field"
    crop = told.geometry.crop
    for match in told.classes[0].found:
        field = next(iter(explainer.fields.values())).box(*match.cell)
        assert match.box == pytest.approx(tuple(told.geometry.box_to_source(field).as_list()))
        assert crop.x0 <= match.box[0] < match.box[2] <= crop.x1
    names = explainer.checkpoint.classes
    assert [explainer.label(name) for name in names] == list(range(4))
    with pytest.raises(UserError, match=f"did you mean '{names[2]}'"):
        explainer.label(names[2][:-1])


class TestEditing:
    def test_what_was_seen_is_an_image_of_its_own(self, made, bird):
        explainer = made("protopnet")
        forward = explainer.forward(bird.path, box=Box(5, 6, 45, 36))
        focused = explainer.cropped(forward)
        assert focused.rgb.shape == (30, 40, 3)
        assert np.array_equal(focused.rgb, forward.rgb[6:36, 5:45])
        assert focused.forward_pass.geometry.crop == Box(0, 0, 40, 30)
        assert focused.forward_pass.scores is forward.forward_pass.scores
        assert explainer.cropped(focused).forward_pass.geometry == focused.forward_pass.geometry

    def test_large_images_are_scaled_down_and_told_of(self, made, bird):
        explainer = made("protopnet")
        focused = explainer.cropped(explainer.forward(bird.path, box=Box(0, 0, 40, 20)), largest=30)
        assert focused.rgb.shape == (15, 30, 3)
        assert "scaled down from 40 x 20 to 30 x 15" in focused.notices[-1]
        assert torch.isfinite(focused.forward_pass.scores).all()

    def test_edited_as_if_the_edited_file_had_been_given(self, made, bird):
        explainer, edit = made("protopnet"), Edit({"saturation": 0.0, "brightness": 0.5})
        forward = explainer.forward(bird.path, box=Box(5, 6, 45, 36))
        edited = explainer.edited(forward, edit)
        direct = explainer.forward(as_png(edit(forward.rgb[6:36, 5:45])))
        assert torch.equal(edited.forward_pass.scores, direct.forward_pass.scores)
        assert np.array_equal(edited.rgb, direct.rgb)
        assert torch.equal(explainer.edited(forward, Edit({})).forward_pass.scores, forward.forward_pass.scores)
