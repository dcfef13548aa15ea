"""What cannot be computed is told before anything is trained."""

import pytest
import timm
import torch
from tiny_runs import maps_of, same_tensors, tiny_config, tiny_model, tiny_train

from protoexplain.errors import UserError
from protoexplain.models.registry import family_names
from protoexplain.training.model_check import check_configuration, check_model

VIT = {"name": "test_vit", "stride": 16, "weights": "none"}


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


SMALL = ("test_", "atto", "femto", "pico", "nano", "micro", "tiny", "mini", "xxs", "_xs", "small", "_s", "b0", "18")
"""Parts of the names of small models."""


def small(module):
    """A model of a module of timm that is small by its name."""
    ranked = [(min((i for i, part in enumerate(SMALL) if part in name), default=len(SMALL)), len(name), name)
              for name in timm.list_models(module=module)]  # fmt: skip
    return min(ranked)[2] if ranked else None


@pytest.mark.long
@pytest.mark.parametrize("side", ["own", 160, 224])
@pytest.mark.parametrize("module", timm.list_modules())
def test_small_models_of_timm(module, side):
    """A model gives finite maps and trains for two steps, or is refused before training with the reason."""
    name = small(module)
    if name is None:
        pytest.skip("the module has no model")
    side = timm.get_pretrained_cfg(name).input_size[-1] if side == "own" else side
    config = tiny_config("protopnet", model={"backbone": {"name": name}}, data={"image_size": side})
    try:
        model = tiny_model(config)
        check_model(config, model)
    except UserError as error:
        pytest.skip(f"refused: {error.what}")
    pictures, labels = torch.rand(2, 3, side, side), torch.tensor([0, 1])
    optimizer = torch.optim.SGD(model.train().parameters(), 1e-4)
    for _ in range(2):
        terms = model.loss_terms(model(pictures), labels, frozenset({"cross_entropy"}))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    maps = maps_of(model.eval(), model.backbone(pictures))
    assert maps.isfinite().all()
    assert maps.shape[:2] == (2, model.num_prototypes)
