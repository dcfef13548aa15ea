"""Official models in stand-ins: imported scores are theirs; what a file does not tell is asked for or named."""

import pytest
import torch
from official import (
    CLASSES,
    SIZE,
    OursNet,
    PIPNet,
    PPNet,
    PrototypeChooser,
    STProtoPNet,
    TESNet,
    randomised,
    save_state,
    save_whole,
)

from protoexplain.errors import UserError
from protoexplain.importing.foreign import read_foreign
from protoexplain.importing.model import imported_model

SIZED = [f"data.image_size={SIZE}"]
MODELS = {
    "protopnet": PPNet,
    "protopnet 2x2": lambda: PPNet(size=2),
    "tesnet": TESNet,
    "st_protopnet": STProtoPNet,
    "st_protopnet full": lambda: STProtoPNet(full=True),
    "evalprotopnet": OursNet,
    "protopool": PrototypeChooser,
    "pipnet": PIPNet,
    "rbf_net": lambda: PIPNet("softmax", 10),
    "cbc": lambda: PIPNet("reasoning", 10),
}
BY_NAME = {"rbf_net", "tesnet"}
"""Whose state dict does not tell."""


def pictures(seed=0):
    return torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def normalised(images):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images - mean[:, None, None]) / std[:, None, None]


def agrees(found, official):
    images = pictures()
    with torch.no_grad():
        expected = official(normalised(images))
        torch.testing.assert_close(found.model(images).logits, expected, atol=1e-5, rtol=1e-5)
    assert (expected[0] - expected[1]).abs().max() > 1e-3, "scores that are all the same show nothing"


def refused(call):
    with pytest.raises(UserError) as caught:
        call()
    return str(caught.value)


@pytest.fixture(params=MODELS)
def case(request):
    official = randomised(MODELS[request.param]())
    if isinstance(official, PPNet):
        official.own_layer()
    return request.param, official


def test_scores_of_state_dicts_and_whole_models_are_the_official_ones(case, tmp_path):
    name, official = case
    family = name.split()[0]
    foreign = read_foreign(save_state(official, tmp_path / "weights.pth", wrapped=family == "pipnet"))
    found = imported_model(foreign, family if family in BY_NAME else None, CLASSES, SIZED)
    assert (found.config.family, found.config.data.image_size) == (family, SIZE)
    assert found.assumed
    agrees(found, official)
    whole = imported_model(read_foreign(save_whole(official, tmp_path / "whole.pth")), assignments=SIZED)
    assert whole.config == found.config
    agrees(whole, official)


@pytest.mark.parametrize("whole", [False, True])
def test_pruned_prototypes_keep_their_classes(tmp_path, whole):
    official = randomised(PPNet())
    official.own_layer()
    official.prune([0, 2, 3, 7, 8, 9, 10, 11])
    save = save_whole if whole else save_state
    found = imported_model(read_foreign(save(official, tmp_path / "pruned.pth")), None, CLASSES, SIZED)
    assert found.model.prototype_class.tolist() == [0, 0, 1, 2, 2, 3, 3, 3]
    assert found.kept == (0, 1, 3, 6, 7, 9, 10, 11)
    agrees(found, official)


def test_linear_similarity_comes_with_the_whole_model_or_by_name(tmp_path):
    official = PPNet()
    official.prototype_activation_function = "linear"
    whole = imported_model(read_foreign(save_whole(official, tmp_path / "whole.pth")))
    assert whole.config.model.activation == "linear"
    assert whole.assumed == ()
    state = read_foreign(save_state(official, tmp_path / "state.pth"))
    assert imported_model(state).config.model.activation == "log"
    assert imported_model(state, None, None, ["model.activation=linear"]).config.model.activation == "linear"


def test_classes_that_no_tensor_tells_are_asked_for(tmp_path):
    state = read_foreign(save_state(OursNet(), tmp_path / "state.pth"))
    assert "unknown number of classes" in refused(lambda: imported_model(state))
    assert "5 classes" in refused(lambda: imported_model(state, None, 5))
    assert "has 4 classes, but 5 are named" in refused(
        lambda: imported_model(read_foreign(save_state(PPNet(), tmp_path / "ppnet.pth")), None, 5)
    )


def test_missing_further_and_misshapen_tensors_are_named(tmp_path):
    state = PPNet().state_dict()

    def said(**changes):
        torch.save({name: t for name, t in {**state, **changes}.items() if t is not None}, tmp_path / "bad.pth")
        return refused(lambda: imported_model(read_foreign(tmp_path / "bad.pth")))

    assert "conv_offset.weight" in said(**{"conv_offset.weight": torch.zeros(1)})
    assert "layer1.0.bn1.weight is missing" in said(**{"features.layer1.0.bn1.weight": None})
    assert "[12, 8]" in said(prototype_vectors=torch.zeros(12, 8))
    assert "not finite" in said(prototype_vectors=torch.full((12, 8, 1, 1), torch.nan))
    assert "no network that is recognised" in said(**{"features.layer2.1.conv1.weight": None})
    assert "of no code known here" in said(prototype_vectors=None)


def test_trees_are_refused_by_name(tmp_path):
    torch.save(
        {"_root.l._dist_params": torch.zeros(2), "prototype_layer.prototype_vectors": torch.zeros(1)}, tmp_path / "t"
    )
    assert "this is a ProtoTree" in refused(lambda: imported_model(read_foreign(tmp_path / "t")))


def test_a_bias_that_no_prototype_explains_is_refused(tmp_path):
    torch.save({**PIPNet().state_dict(), "_classification.bias": torch.ones(4)}, tmp_path / "biased.pth")
    assert "bias" in refused(lambda: imported_model(read_foreign(tmp_path / "biased.pth")))
