"""Freezing, batch norm, learning rates, loss weights and sums of a step."""

import math

import pytest
import torch
from tiny_runs import open_run, pictures, tiny_config, tiny_model

from protoexplain.errors import UserError
from protoexplain.models.stage import Decay, Stage
from protoexplain.training import engine
from protoexplain.training.inputs import ImageInputs


@pytest.fixture
def model():
    return tiny_model(tiny_config("protopnet", model={"feature_norm": True}))


def stage(**changes):
    return Stage(**{"name": "s", "epochs": 4, "lr": {"addon": 0.1, "head": 0.01}, "losses": {"a": 2.0}, **changes})


def test_freeze_trains_only_the_named_groups(model):
    assert engine.freeze(model, ["head", "prototypes"]) == {"head", "prototypes"}
    groups = model.parameter_groups()
    for name, parameters in groups.items():
        assert {p.requires_grad for p in parameters} == {name in ("head", "prototypes")}
    engine.freeze(model, ["backbone"])
    assert not any(p.requires_grad for p in groups["head"])


def test_freeze_ignores_groups_that_a_model_does_not_have():
    components = tiny_model(tiny_config("cbc", model={"components": 0}))
    assert engine.freeze(components, ["backbone", "addon", "head"]) == {"backbone", "head"}


def test_frozen_stride_is_never_trained():
    backbone = {"name": "test_resnet", "stride": 16, "weights": "none", "frozen_stride": 4}
    frozen = tiny_model(tiny_config("protopnet", model={"backbone": backbone}))
    engine.freeze(frozen, ["backbone"])
    engine.set_training_mode(frozen)
    layers = dict(frozen.backbone.net.named_modules())
    assert not any(p.requires_grad for p in layers["layer1"].parameters())
    assert all(p.requires_grad for p in layers["layer3"].parameters())
    norms = {name: m for name, m in layers.items() if isinstance(m, torch.nn.BatchNorm2d)}
    assert {m.training for name, m in norms.items() if name.startswith("layer1")} == {False}
    assert {m.training for name, m in norms.items() if name.startswith("layer3")} == {True}


@pytest.mark.parametrize("published", [False, True])
def test_batch_norm_learns_statistics_only_where_it_is_trained(model, published):
    engine.freeze(model, ["addon"])
    engine.set_training_mode(model, published)
    assert model.training
    addon = model.branches["main"].addon[0]
    assert isinstance(addon, torch.nn.BatchNorm2d)
    assert addon.training
    inside = {m.training for m in model.backbone.modules() if isinstance(m, engine._BatchNorm)}
    assert inside == {published}


def test_optimizer_has_one_row_per_group(model):
    trained = engine.freeze(model, ["addon", "head"])
    optimizer = engine.make_optimizer(model, stage(weight_decay={"addon": 0.5}, optimizer="adamw"), trained)
    assert isinstance(optimizer, torch.optim.AdamW)
    rows = {row["name"]: row for row in optimizer.param_groups}
    assert {name: (row["lr"], row["weight_decay"]) for name, row in rows.items()} == {
        "addon": (0.1, 0.5),
        "head": (0.01, 0.0),
    }
    assert rows["head"]["params"] == model.parameter_groups()["head"]


def test_learning_rates_fall_group_by_group(model):
    trained = engine.freeze(model, ["addon", "head"])
    falling = stage(decay={"addon": Decay(kind="step", every=2, gamma=0.5)})
    optimizer = engine.make_optimizer(model, falling, trained)
    rates = []
    for n in range(1, 6):
        engine.set_learning_rates(optimizer, falling, n)
        rates.append({row["name"]: row["lr"] for row in optimizer.param_groups})
    assert [row["addon"] for row in rates] == pytest.approx([0.1, 0.05, 0.05, 0.025, 0.025])
    assert {row["head"] for row in rates} == {0.01}


def test_cosine_restarts():
    decay = Decay(kind="cosine", total=4, gamma=0.2)
    values = [decay.multiplier(n) for n in range(1, 6)]
    assert values[0] == values[4] == 1.0
    assert values[2] == pytest.approx(0.6)
    assert values == sorted(values[:4], reverse=True) + values[4:]


def test_cosine_falls_from_step_to_step_where_wanted():
    by_epoch, by_step = (Decay(kind="cosine", total=4, gamma=0.2, by_step=on) for on in (False, True))
    assert by_epoch.multiplier(2.5) == by_epoch.multiplier(2) == by_step.multiplier(2)
    assert by_step.multiplier(2) > by_step.multiplier(2.5) > by_step.multiplier(3)
    assert by_step.multiplier(4.999) == pytest.approx(0.2, abs=1e-3)
    assert by_step.multiplier(5) == 1.0


def test_cosine_that_began_earlier():
    early, late = Decay(kind="cosine", total=4, gamma=0.2), Decay(kind="cosine", total=4, gamma=0.2, begun=3)
    assert [late.multiplier(n) for n in range(1, 6)] == [early.multiplier(n) for n in range(4, 9)]


def test_moments_go_on_group_by_group(model):
    def optimizer(*groups):
        made = engine.make_optimizer(model, stage(lr=dict.fromkeys(groups, 0.1)), engine.freeze(model, groups))
        for group in made.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        return made

    first = optimizer("addon", "head")
    first.step()
    second = optimizer("backbone", "head")
    engine.restore_moments(second, first.state_dict())
    head = model.parameter_groups()["head"]
    assert second.state.keys() == set(head)
    for parameter in head:
        for name, value in first.state[parameter].items():
            assert torch.equal(second.state[parameter][name], value)
    assert {group["lr"] for group in second.param_groups} == {0.1}


def test_ramps_grow_over_the_stage():
    ramped = stage(losses={"a": 2.0, "b": 1.0}, ramps=("a",))
    assert [engine.loss_weights(ramped, epoch) for epoch in (1, 4)] == [{"a": 0.5, "b": 1.0}, {"a": 2.0, "b": 1.0}]


def test_means_count_each_term_where_it_was_computed():
    sums = engine.EpochSums()
    sums.add(2.0, {"a": 1.0}, right=3, images=4)
    sums.add(4.0, {"a": 3.0, "b": 5.0}, right=1, images=4)
    assert sums.means() == {"loss": 3.0, "a": 2.0, "b": 5.0, "accuracy": 0.5}
    assert engine.EpochSums().means() == {"loss": 0.0, "accuracy": 0.0}


@pytest.fixture
def run(planted, tmp_path):
    return open_run(tiny_config("st_protopnet"), planted, tmp_path)


def trained_epoch(run, settings, losses):
    engine.freeze(run.model, ["prototypes"])
    engine.set_training_mode(run.model)
    row = Stage(name="s", epochs=1, lr={"prototypes": 0.01}, losses=losses, weight_decay={"prototypes": 0.1})
    optimizer = engine.make_optimizer(run.model, row, frozenset({"prototypes"}))
    moved = []
    before = {name: branch.prototypes.detach().clone() for name, branch in run.model.named_branches()}

    def after_step(sums):
        now = {name: branch.prototypes.detach().clone() for name, branch in run.model.named_branches()}
        moved.append({name for name in now if (now[name] - before[name]).abs().max() > 1e-5})
        before.update(now)

    step = engine.TrainStep(run.model, "images", frozenset(losses))
    inputs = ImageInputs(run.dataset(run.data.train, True))
    optimizer = run.fabric.setup_optimizers(optimizer)
    sums = engine.train_epoch(
        run.fabric,
        step,
        run.model,
        optimizer,
        inputs.epoch(0, range(16), 4),
        settings,
        engine.EpochSums(),
        str,
        after_step,
    )
    return sums, moved


@pytest.mark.parametrize("idle", [False, True])
def test_branches_train_in_turn(run, idle):
    """A branch rests while the other trains; the published environment went on moving it by its momentum."""
    losses = {"cross_entropy": 1.0, "cluster": -0.8}
    settings = engine.StepSettings(losses, frozenset({"prototypes"}), True, None, idle)
    sums, moved = trained_epoch(run, settings, losses)
    assert sums.steps == 4
    assert sums.images == 32
    both = {"trivial", "support"}
    assert moved == ([{"trivial"}, both, both, both] if idle else [{"trivial"}, {"support"}] * 2)
    for _, branch in run.model.named_branches():
        torch.testing.assert_close(branch.prototypes.flatten(1).norm(dim=1), torch.ones(len(branch.prototypes)))


def test_loss_is_the_weighted_sum_of_its_terms(run):
    weights = {"cross_entropy": 0.5, "cluster": -2.0}
    sums, _ = trained_epoch(run, engine.StepSettings(weights, frozenset({"prototypes"}), False), weights)
    means = sums.means()
    assert means["loss"] == pytest.approx(0.5 * means["cross_entropy"] - 2 * means["cluster"], abs=1e-5)


def test_no_term_at_all_is_refused(run):
    with pytest.raises(UserError, match="no loss term"):
        trained_epoch(run, engine.StepSettings({}, frozenset({"prototypes"}), True), {})


def test_accuracy_counts_right_predictions(run):
    inputs = ImageInputs(run.dataset(run.data.train, False))
    images, labels = pictures(run)
    with torch.no_grad():
        expected = float((run.model.eval()(images).logits.argmax(1) == labels).float().mean())
    batches = inputs.epoch(0, range(len(labels)), 7)
    assert engine.accuracy(run.fabric, run.model, "images", batches) == pytest.approx(expected)
    assert math.isnan(engine.accuracy(run.fabric, run.model, "images", []))
