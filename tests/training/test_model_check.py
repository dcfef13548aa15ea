"""What cannot be computed is told before anything is trained."""

import pytest
import torch
from tiny_runs import same_tensors, tiny_config, tiny_model, tiny_train

from benchmarks.backbone_sweep import FAULT, WORKS, attempt, modules, sweep
from protoexplain.errors import UserError
from protoexplain.models.registry import family_names
from protoexplain.training.model_check import check_configuration, check_model

VIT = {"name": "test_vit", "stride": 16, "weights": "none"}

PARTS = {"fine_tuning": {"epochs": 1, "parts": 2}}


@pytest.mark.parametrize("family", family_names())
def test_model_stays_as_it_is(family):
    config = tiny_config(family)
    model = tiny_model(config).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    check_model(config, model)
    assert same_tensors(before, model.state_dict())
    assert torch.equal(random, torch.get_rng_state())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("family", "changes", "words"),
    [
        (
            "protopnet",
            {"model": {"backbone": VIT}, "data": {"image_size": 100}},
            ["the backbone test_vit cannot take pictures of 100 x 100 pixels", "divisible", "data.image_size"],
        ),
        (
            "protopnet",
            {"model": {"prototype_size": [7, 7]}},
            ["the model cannot be computed on pictures of 64 x 64 pixels", "(4, 4)"],
        ),
        ("evalprotopnet", {"data": {"image_size": 100}}, ["shallow map of 25 x 25 cells cannot be cut"]),
        ("evalprotopnet", {"model": {"backbone": VIT}}, ["test_vit has no map of stride 4 below its features"]),
        (
            "protopnet",
            {"model": {"start": "parts"}},
            ["only start from parts that", "training.fine_tuning"],
        ),
        ("prototree", {"model": {"start": "parts"}, "training": PARTS}, ["add-on cannot begin", "model.feature_norm"]),
        (
            "protopool",
            {"model": {"start": "parts"}, "training": {"fine_tuning": {**PARTS["fine_tuning"], "steady": 0.6}}},
            ["belong to no class", "training.fine_tuning.steady"],
        ),
        ("prototypedl", {"data": {"image_size": 32}}, ["the pictures have 32 x 32 pixels, the model encodes 64"]),
    ],
)
def test_what_cannot_work(family, changes, words):
    with pytest.raises(UserError) as caught:
        check_configuration(tiny_config(family, **changes))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_channels_are_those_that_were_announced():
    config = tiny_config("protopnet")
    model = tiny_model(config)
    model.backbone.channels += 1
    with pytest.raises(UserError, match=r"announces maps of \d+ channels and gives \[\d+, 4, 4\]"):
        check_model(config, model)


def test_training_tells_before_it_begins(planted, tmp_path):
    with pytest.raises(UserError, match="cannot take pictures of 100 x 100"):
        tiny_train("protopnet", planted, tmp_path / "run", model={"backbone": VIT}, data={"image_size": 100})
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_transformers_train_at_other_sizes_than_their_own(planted, tmp_path):
    schedule = {"warm_epochs": 1, "projections": [1], "last_layer_epochs": 1}
    result = tiny_train("protopnet", planted, tmp_path / "run", model={"backbone": VIT}, schedule=schedule)
    assert {(record.map_height, record.map_width) for record in result.checkpoint.prototypes} == {(4, 4)}


@pytest.mark.parametrize("size", [96, 160, 224])
def test_plain_transformers_train_and_give_maps(size):
    """Forward, check, two training steps, maps; as of each network of the sweep."""
    assert attempt("vit_tiny_patch16_224", size) == (WORKS, "")


def test_the_nearest_sizes_are_told(cli):
    changes = [f"model.backbone.{name}={value}" for name, value in {**VIT, "pyramid_stride": 0}.items()]
    code, _, told = cli("train", "--dry-run", *(f"-s{change}" for change in [*changes, "data.image_size=100"]))
    assert code == 2
    assert "choose 96 or 112, the nearest that it can take" in told


@pytest.mark.long
@pytest.mark.parametrize("module", modules())
def test_small_networks_of_timm(module):
    """Each works at its own size, 160 and 224 pixels, or is refused before training with the reason."""
    assert [outcome for outcome in sweep(module) if outcome.kind == FAULT] == []
