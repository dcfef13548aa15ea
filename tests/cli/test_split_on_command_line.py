"""A model whose split is its own: every command sees exactly the images that the checkpoint lists."""

import json
import shutil

import pytest
from unsplit import add_pictures, as_of_older_program, class_folders, ids, seeded_checkpoint

from protoexplain.cli.explain import forward_file
from protoexplain.data.dataset_view import view_of
from protoexplain.data.read import read_image_set
from protoexplain.explanations.explainer import Explainer
from protoexplain.metrics.observe.images import read_test_images
from protoexplain.progress import Silent
from protoexplain.report.gather import report_images
from protoexplain.training import evaluate as evaluating
from protoexplain.training.checkpoint_ops import prune, reproject


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    return class_folders(tmp_path_factory.mktemp("data") / "flowers")


@pytest.fixture(scope="module")
def checkpoint(flowers, tmp_path_factory):
    return seeded_checkpoint(flowers, tmp_path_factory.mktemp("models") / "seeded")


@pytest.fixture(scope="module")
def old(checkpoint, tmp_path_factory):
    return as_of_older_program(checkpoint, tmp_path_factory.mktemp("older") / "old")


@pytest.fixture(scope="module")
def tested(checkpoint, flowers):
    """Ids of the test images; by default the folder gives others."""
    found = set(checkpoint.split_ids().test)
    assert found != ids(read_image_set(flowers).split("test"))
    return found


@pytest.fixture
def grown(flowers, tmp_path):
    copy = shutil.copytree(flowers, tmp_path / "flowers")
    add_pictures(copy, "tulip", range(10, 15))
    return copy


def test_evaluate_classifies_the_test_images(cli, checkpoint, grown, tested, monkeypatch):
    classified = []

    def noted(records, *settings):
        classified.extend(records)
        return original(records, *settings)

    original = evaluating.ImageDataset
    monkeypatch.setattr(evaluating, "ImageDataset", noted)
    code, told, _ = cli("evaluate", checkpoint.path, "--data", grown, "--json")
    assert (code, ids(classified), json.loads(told)["images"]) == (0, tested, len(tested))
    assert "left out: 5 (tulip/10.png" in json.loads(told)["notices"][0]


def test_explain_says_of_all_but_test_images_that_the_model_learned_from_them(checkpoint, flowers, tested):
    explainer, view = Explainer(checkpoint), view_of(checkpoint, flowers)
    records = read_image_set(flowers).records
    quiet = {
        r.id for r in records if not any("the model was" in n for n in forward_file(explainer, r.path, view).notices)
    }
    assert quiet == tested


def test_explain_writes_it_down(cli, checkpoint, flowers, tmp_path):
    image = flowers / checkpoint.split_ids().train[0]
    words = ("--rows", 1, "--classes", 1, "--random-boxes", 0, "-o", tmp_path)
    assert cli("explain", checkpoint.path, image, "--data", flowers, *words)[0] == 0
    (told,) = json.loads((tmp_path / "explanation.json").read_text())["explanations"]
    assert "the model was trained on this picture" in told["notices"]


def test_report_says_so_too(cli, checkpoint, flowers, tmp_path, tested):
    given = report_images([record.path for record in read_image_set(flowers).records], view_of(checkpoint, flowers))
    assert {str(one.path.relative_to(flowers)) for one in given if not one.notices} == tested
    image, out = flowers / checkpoint.split_ids().validation[0], tmp_path / "report.json"
    words = ("--sections", "images", "--data", flowers, "--out", out)
    assert cli("report", checkpoint.path, image, *words)[0] == 0
    (case,) = json.loads(out.read_text())["images"]
    assert "the model was chosen by this picture" in case["notices"]


def test_metrics_are_measured_on_the_test_images(checkpoint, flowers, grown, tested):
    assert set(read_test_images(checkpoint, flowers).ids) == tested
    images = read_test_images(checkpoint, grown)
    assert set(images.ids) == tested
    assert "left out: 5" in images.notices[0]


def test_older_checkpoint_is_evaluated_on_its_own_split_with_a_notice(cli, old, flowers, tested, checkpoint):
    told = [json.loads(cli("evaluate", one.path, "--data", flowers, "--json")[1]) for one in (old, checkpoint)]
    assert [one.pop("notices") for one in told][1] == []
    assert told[0] == told[1]
    assert "training.seed 7" in cli("evaluate", old.path, "--data", flowers)[1]
    assert cli("verify", old.path, "--data", flowers)[0] == 0
    assert set(read_test_images(old, flowers).ids) == tested


def test_what_is_made_of_a_checkpoint_keeps_its_split(checkpoint, old, grown, tmp_path):
    again = reproject(checkpoint.path, grown, tmp_path / "projected", Silent(), "", epochs=0).checkpoint
    assert again.split_ids() == checkpoint.split_ids()
    assert again.data.fingerprint == checkpoint.data.fingerprint
    pruned = prune(again.path, grown, tmp_path / "pruned", Silent(), "", threshold=1, epochs=0).checkpoint
    assert pruned.split_ids() == checkpoint.split_ids()


def test_older_checkpoint_lists_its_images_once_it_is_worked_on(old, checkpoint, flowers, tmp_path):
    new = reproject(old.path, flowers, tmp_path / "projected", Silent(), "", epochs=0).checkpoint
    assert {part: set(names) for part, names in vars(new.split_ids()).items() if part != "part_of"} == {
        part: set(names) for part, names in vars(checkpoint.split_ids()).items() if part != "part_of"
    }
    assert view_of(new, flowers).notices == ()
