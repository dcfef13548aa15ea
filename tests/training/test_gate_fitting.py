"""The object gate learns where the object is before the prototypes are trained."""

import pytest
import torch
from tiny_runs import open_run, pictures, tiny_config, tiny_train
from torch import nn

from protoexplain.errors import UserError
from protoexplain.models.object_gate import GatedAddon, gates_of
from protoexplain.training.foreground import coverage
from protoexplain.training.object_gate import OPEN, SILENCED, fit_object_gate, logistic_regression, stricter


def test_logistic_regression_finds_the_side_of_a_plane():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(400, 3, generator=generator) * torch.tensor([1.0, 100, 1]) + 5
    positive = vectors[:, 0] - 0.01 * vectors[:, 1] > 4
    weight, bias = logistic_regression(vectors, positive)
    assert ((vectors @ weight + bias > 0) == positive).float().mean() > 0.97


@pytest.mark.parametrize("positive", [True, False])
def test_cells_of_one_kind_leave_the_gate_open(positive):
    weight, bias = logistic_regression(torch.randn(5, 3), torch.full((5,), positive))
    assert (torch.randn(7, 3) @ weight + bias > 0).all()


def kinds(distance):
    """Values of 2000 cells beside the object and as many on it, which lie so far apart on average."""
    generator = torch.Generator().manual_seed(0)
    beside, on = torch.randn(2, 2000, generator=generator) + torch.tensor([[-distance / 2], [distance / 2]])
    return torch.cat([beside, on]), torch.arange(4000) >= 2000


def test_few_cells_beside_the_object_stay_open():
    values, on = kinds(5.0)
    bias = stricter(values, on, torch.tensor([1.0]))
    still_open = values + bias - 1 > 0
    assert still_open[~on].double().mean() == pytest.approx(OPEN, abs=1e-3) or bias == 1
    assert still_open[on].double().mean() >= 1 - SILENCED - 1e-3


def test_the_object_is_not_silenced_for_it():
    values, on = kinds(1.0)
    assert stricter(values, on, torch.tensor([1.0])).item() == 1.0, "more than enough of it is silent already"
    values, on = kinds(3.4)
    still_open = values + stricter(values, on, torch.zeros(1)) > 0
    assert still_open[on].double().mean() == pytest.approx(1 - SILENCED, abs=1e-3)
    assert still_open[~on].double().mean() > OPEN


class Places(nn.Module):
    """Features that tell how far a cell is from the middle."""

    channels = 2

    def forward(self, images):
        line = torch.linspace(-1, 1, 16)
        far = (line[:, None].square() + line.square()).expand(len(images), 1, -1, -1)
        return torch.cat([far, torch.randn_like(far)], 1)


def test_cells_on_the_object_are_told_from_those_beside_it(planted, tmp_path):
    run = open_run(tiny_config("protopnet", model={"object_gate": True}), planted, tmp_path)
    run.model.backbone = Places()
    for _, branch in run.model.named_branches():
        branch.addon = GatedAddon(nn.Identity(), Places.channels)
    fit_object_gate(run)
    (gate,) = gates_of(run.model)
    covered = coverage(run.data.train, run.data.crop, (16, 16))
    on_object = gate.on_object(run.model.backbone(pictures(run)[0]))[:, 0]
    assert on_object[covered > 0.5].float().mean() > 0.7
    assert on_object[covered == 0].float().mean() < 0.25


def test_it_is_fitted_in_a_run_and_saved_with_the_model(planted, tmp_path):
    result = tiny_train(
        "protopnet",
        planted,
        tmp_path / "run",
        model={"object_gate": True},
        schedule={"warm_epochs": 1, "projections": [0], "last_layer_epochs": 1},
    )
    (gate,) = gates_of(result.checkpoint.model())
    assert gate.weight.abs().sum() > 0


def test_a_schedule_that_changes_the_features_afterwards_is_refused(planted, tmp_path):
    with pytest.raises(UserError, match="object gate") as error:
        tiny_train("protopnet", planted, tmp_path / "run", model={"object_gate": True})
    assert error.value.where == "model.object_gate"
