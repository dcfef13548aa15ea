"""What comes before the family's own stages: a plain classifier, and prototypes that start from parts of the object."""

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import open_run, pictures, run_log, tiny_config, tiny_model, tiny_train
from torch import nn

from protoexplain.errors import UserError
from protoexplain.models.parts import PartClassifier
from protoexplain.models.pooled import PooledClassifier
from protoexplain.training import engine, initial
from protoexplain.training import train_stage as stage_module
from protoexplain.training.initial import start
from protoexplain.training.part_choice import between_classes
from protoexplain.training.part_start import copy_embedding, ends_in_sigmoid, fit_teacher, start_from_parts
from protoexplain.training.schedule import stages_of
from protoexplain.training.stage_inputs import make_inputs
from protoexplain.training.stage_models import models_of
from protoexplain.training.train_stage import train_stage


def test_no_fine_tuning_unless_asked_for():
    config = tiny_config("protopnet")
    assert stages_of(config)[0].name == "warm"
    model = tiny_model(config)
    assert models_of(config, model) == [model] * (len(stages_of(config)) + 1)


def test_fine_tuning_trains_a_plain_classifier_on_the_same_backbone():
    config = tiny_config("cbc", training={"fine_tuning": {"epochs": 3, "lr": 0.01}})
    first, *rest = stages_of(config)
    assert (first.name, first.epochs, first.lr["backbone"]) == ("backbone", 3, 0.01)
    assert rest == stages_of(tiny_config("cbc"))
    model = tiny_model(config)
    plain, *others = models_of(config, model)
    assert isinstance(plain, PooledClassifier)
    assert plain.backbone is model.backbone
    assert all(other is model for other in others)
    assert len(others) == len(rest) + 1


@pytest.mark.parametrize(("min_steps", "passes"), [(0, 1), (3, 1), (13, 3)])
def test_few_images_are_shown_more_often(min_steps, passes, planted, tmp_path, monkeypatch):
    taken, shown, rates = [], [], set()
    train_epoch = engine.train_epoch

    def counted(*arguments):
        train_epoch(*arguments)
        taken.append(arguments[6].steps)

    monkeypatch.setattr(engine, "train_epoch", counted)
    set_rates = lambda _, stage, n: (shown.append(n), rates.add(stage.lr["backbone"]))  # noqa: E731
    monkeypatch.setattr(engine, "set_learning_rates", set_rates)
    config = tiny_config("protopnet", training={"batch_size": 8, "fine_tuning": {"epochs": 2, "min_steps": min_steps}})
    run = open_run(config, planted, tmp_path)
    run.model = models_of(config, run.model)[0]
    of_pass = -(-len(run.data.train) // 8)
    assert 2 * of_pass * (passes - 1) < max(1, min_steps) <= 2 * of_pass * passes
    train_stage(run, stages_of(config)[0])
    assert taken == [passes * of_pass] * 2
    assert max(shown) == pytest.approx(3)
    assert list(rates) == [pytest.approx(config.training.fine_tuning.lr / passes)]


@pytest.mark.parametrize(
    ("accuracies", "kept"), [((0.9, 0.2, 0.3), 1), ((0.2, 0.9, 0.9), 3), ((0.9, 0.2, 0.85), 3), ((math.nan,) * 3, 3)]
)
def test_fine_tuning_goes_back_to_an_epoch_that_was_clearly_better(accuracies, kept, planted, tmp_path, monkeypatch):
    config = tiny_config("protopnet", training={"fine_tuning": {"epochs": 3}})
    run = open_run(config, planted, tmp_path)
    run.model = models_of(config, run.model)[0]
    told, weights = iter(accuracies), []

    def accuracy(_):
        weights.append({name: value.clone() for name, value in run.model.state_dict().items()})
        return next(told)

    monkeypatch.setattr(run, "accuracy", accuracy)
    train_stage(run, stages_of(config)[0])
    assert all(torch.equal(value, weights[kept - 1][name]) for name, value in run.model.state_dict().items())
    assert not all(torch.equal(value, weights[kept % 3][name]) for name, value in run.model.state_dict().items())
    assert run.state.best is None


PARTS = {"epochs": 2, "parts": 2}


@pytest.mark.parametrize("parts", [0, 2])
@pytest.mark.parametrize("spare", [0, 1])
def test_with_too_few_images_only_what_lies_on_the_backbone_is_trained(parts, spare, planted, tmp_path):
    run = open_run(tiny_config("protopnet"), planted, tmp_path)
    changes = {"epochs": 1, "parts": parts, "min_images": len(run.data.train) + spare}
    run.config = tiny_config("protopnet", training={"fine_tuning": changes})
    run.model = models_of(run.config, run.model)[0]
    start(run, run.model)
    before = {name: value.clone() for name, value in run.model.named_parameters()}
    train_stage(run, stages_of(run.config)[0])
    changed = {name for name, value in run.model.named_parameters() if not torch.equal(value, before[name])}
    assert any(not name.startswith("backbone.") for name in changed)
    assert any(name.startswith("backbone.") for name in changed) == (spare == 0)


def test_cached_features_of_an_untrained_backbone_tell_the_parts(planted, tmp_path):
    run = open_run(tiny_config("protopnet", training={"fine_tuning": PARTS}), planted, tmp_path)
    run.model = models_of(run.config, run.model)[0]
    start(run, run.model)
    images, labels = pictures(run)
    names, model = frozenset({"cross_entropy", "parts"}), run.model.eval()
    ways = model.from_images(images, names), model.from_cached_features(model.backbone(images), names)
    whole, cached = (model.loss_terms(output, labels, names) for output in ways)
    assert whole.keys() == cached.keys() == names
    for name in names:
        torch.testing.assert_close(whole[name], cached[name])


PYRAMID = {"pyramid_stride": 8, "frozen_stride": 8}


def test_fine_tuning_with_parts_shares_the_backbone_too():
    config = tiny_config("protopnet", training={"fine_tuning": {**PARTS, "part_weight": 0.3}})
    first, *_ = stages_of(config)
    assert first.losses == {"cross_entropy": 1.0, "parts": 0.3}
    classifier, *others = models_of(config, tiny_model(config))
    assert isinstance(classifier, PartClassifier)
    assert classifier.backbone is others[0].backbone
    assert classifier.teacher.backbone is not classifier.backbone


def test_the_teacher_stays_as_the_backbone_was_and_the_stem_is_cached(planted, tmp_path, monkeypatch):
    kinds = []
    monkeypatch.setattr(
        stage_module, "make_inputs", lambda run, kind, *rest: kinds.append(kind) or _make(run, kind, *rest)
    )
    _make = inspect.unwrap(make_inputs)
    seen = []
    monkeypatch.setattr(initial, "start_from_parts", lambda run, first: seen.append(first) or begin(run, first))
    begin = inspect.unwrap(start_from_parts)
    changes = {"model": {"backbone": PYRAMID, "start": "parts"}, "training": {"fine_tuning": PARTS}}
    tiny_train("protopnet", planted, tmp_path / "run", **changes)
    assert kinds[:2] == ["stem", "stem"]
    teacher = seen[0].teacher
    fresh = tiny_model(tiny_config("protopnet", **changes)).backbone
    lines = run_log(tmp_path / "run")
    assert lines[0]["loss"] == pytest.approx(lines[0]["cross_entropy"] + 0.5 * lines[0]["parts"], rel=1e-5)
    assert {name for name, _ in teacher.backbone.named_parameters()} == {name for name, _ in fresh.named_parameters()}
    assert teacher.fitted


@pytest.mark.parametrize("family", ["protopnet", "st_protopnet", "evalprotopnet"])
@torch.no_grad()
def test_prototypes_start_from_the_mean_patches_of_the_parts(family, planted, tmp_path):
    config = tiny_config(family, model={"start": "parts"}, training={"fine_tuning": PARTS})
    run = open_run(config, planted, tmp_path)
    first = models_of(config, run.model)[0]
    with torch.enable_grad():
        fit_teacher(run, first.teacher)
    start(run, first)
    images, labels = pictures(run)
    shown = first.teacher.of_images(images)
    assert first.teacher.fitted
    owners = run.model.ownership.labels.split(run.model.branch_sizes())
    assert set(shown.unique().tolist()) >= {0, 1}, "both parts are somewhere"
    for owner, (_, branch) in zip(owners, run.model.named_branches(), strict=True):
        branch.addon.train()
        z = torch.cat([branch.addon(run.model.backbone(part)) for part in images.split(8)])
        for label in range(run.model.classes):
            rows = (owner == label).nonzero()[:, 0]
            for part, row in enumerate(rows):
                cells = z[labels == label].permute(0, 2, 3, 1)[shown[labels == label] == part]
                if len(cells):
                    expected = branch.similarity.prototypes_from(cells.mean(0, keepdim=True))[0]
                    torch.testing.assert_close(branch.prototypes[row].flatten(), expected, rtol=1e-3, atol=1e-4)


LINEAR = {
    "protopnet": {"similarity": "cosine", "addon": "linear", "feature_norm": True, "prototype_channels": 64},
    "st_protopnet": {"variant": "full", "upsample": False, "feature_norm": True, "prototype_channels": 64},
}


@pytest.mark.parametrize("family", LINEAR)
@torch.no_grad()
def test_a_linear_addon_begins_as_the_embedding_of_the_parts_and_finds_what_it_found(family, planted, tmp_path):
    config = tiny_config(family, model={"start": "parts", **LINEAR[family]}, training={"fine_tuning": PARTS})
    run = open_run(config, planted, tmp_path)
    first = models_of(config, run.model)[0].eval()
    ((_, learned),) = first.named_branches()
    for parameter in learned.parameters():
        parameter.normal_()
    learned.addon[0].running_mean.normal_()
    learned.addon[0].running_var.uniform_(0.5, 2)
    with torch.enable_grad():
        fit_teacher(run, first.teacher)
    start(run, first)
    images, _ = pictures(run)
    features = run.model.eval().backbone(images)
    expected = learned.similarity.best(learned.addon(features), learned.prototypes)[0]
    for _, branch in run.model.named_branches():
        torch.testing.assert_close(branch.addon(features), learned.addon(features), rtol=1e-4, atol=1e-4)
        found = branch.similarity.best(branch.addon(features), branch.prototypes)[0] * MARGIN.get(family, 1)
        torch.testing.assert_close(
            found, expected.clamp_min(0) if family == "protopnet" else expected, atol=1e-3, rtol=1e-3
        )


MARGIN = {"protopnet": 1.01}
"""By which published cosines of a family are divided."""


def test_which_addons_take_the_embedding_over():
    embedding = PartClassifier(Identity(), 2, 2).branches["parts"].addon
    sigmoid = nn.Sequential(nn.BatchNorm2d(5), nn.Conv2d(5, 64, 1), nn.Sigmoid())
    assert copy_embedding(sigmoid, embedding, 0.5)
    assert torch.equal(sigmoid[1].weight, 0.5 * embedding[1].weight)
    assert ends_in_sigmoid(sigmoid)
    for layers in (
        [nn.BatchNorm2d(5), nn.Conv2d(5, 8, 1)],
        [nn.Conv2d(5, 64, 1)],
        [nn.BatchNorm2d(5), nn.Conv2d(5, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 1)],
    ):
        addon = nn.Sequential(*layers)
        before = {name: tensor.clone() for name, tensor in addon.state_dict().items()}
        assert not copy_embedding(addon, embedding)
        assert all(torch.equal(tensor, before[name]) for name, tensor in addon.state_dict().items())


class Identity(nn.Module):
    channels = 5


@torch.no_grad()
def test_branches_start_from_different_parts_the_first_from_the_most_telling_ones(planted, tmp_path):
    parts = {"fine_tuning": {**PARTS, "parts": 4}}
    config = tiny_config("st_protopnet", model={"start": "parts", **LINEAR["st_protopnet"]}, training=parts)
    run = open_run(config, planted, tmp_path)
    first = models_of(config, run.model)[0].eval()
    start_from_parts(run, first)
    learned = first.branches["parts"].prototypes.view(first.classes, 4, -1)
    assert run.model.branch_sizes() == [2 * first.classes] * 2
    for branch, own in zip(run.model.branches.values(), ([0, 1], [2, 3]), strict=True):
        expected = branch.similarity.prototypes_from(learned[:, own].flatten(0, 1))
        torch.testing.assert_close(branch.prototypes.flatten(1), expected)


@torch.no_grad()
def test_regions_that_differ_most_between_classes_become_parts(planted, tmp_path, monkeypatch):
    monkeypatch.setattr("protoexplain.models.parts.DIVISIONS", 1)
    regions = {"fine_tuning": {**PARTS, "regions": 4}}
    run = open_run(tiny_config("protopnet", model={"start": "parts"}, training=regions), planted, tmp_path)
    teacher = models_of(run.config, run.model)[0].teacher
    with torch.enable_grad():
        fit_teacher(run, teacher)
    images, labels = pictures(run)
    features = teacher.backbone(images)
    found = teacher(features).argmax(1)
    low = teacher.backbone.stem(images) if teacher.backbone.has_stem else images
    shares = between_classes(F.adaptive_avg_pool2d(low, features.shape[2:]), found, labels, 4)
    best = shares.argsort(descending=True)[:2].tolist()
    shown = teacher.of_images(images)
    for region in range(5):
        part = best.index(region) if region in best else 2
        assert (shown[found == region] == part).all()
    fit_teacher(run, teacher)
    assert torch.equal(teacher.of_images(images), shown), "it looks once"


def test_no_more_prototypes_than_parts(planted, tmp_path):
    config = tiny_config("protopnet", model={"start": "parts"}, training={"fine_tuning": {**PARTS, "parts": 1}})
    run = open_run(config, planted, tmp_path)
    with pytest.raises(UserError, match="at most one for each of the 1 parts") as error:
        start(run, models_of(config, run.model)[0])
    assert error.value.where == "model.prototypes_per_class"


def test_fine_tuning_is_written_down_and_moves_the_backbone(planted, tmp_path):
    tiny_train("protopnet", planted, tmp_path / "run", training={"fine_tuning": {"epochs": 2}})
    lines = run_log(tmp_path / "run")
    assert [line["epoch"] for line in lines if line["stage"] == "backbone"] == [1, 2]
    assert lines[0]["loss"] == pytest.approx(lines[0]["cross_entropy"])
    assert lines[0]["loss"] != lines[1]["loss"]


def test_pooled_classifier_scores_the_mean_of_normalised_features():
    torch.manual_seed(0)
    plain = PooledClassifier(tiny_model(tiny_config("protopnet")).backbone, 3).eval()
    features = torch.randn(2, plain.norm.num_features, 4, 4)
    expected = plain.head(features.mean((2, 3)) / (1 + plain.norm.eps) ** 0.5)
    torch.testing.assert_close(plain.from_features(features).logits, expected)
