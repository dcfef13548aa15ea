"""PIP-Net: its three phases, what it forgets at the end, and that it abstains where nothing is found."""

from __future__ import annotations

import pytest
import torch
from explained_pictures import explain
from torch import Tensor, nn

from protoexplain.config import resolve
from protoexplain.data.geometry import Geometry
from protoexplain.explanations.evidence.local import ABSTAINED
from protoexplain.models.families.pipnet import PIPNetConfig, PIPNetSchedule, stages
from protoexplain.models.families.pipnet.network import PIPNet

CLASSES, CHANNELS = ("Wren", "Robin", "Crow"), 6


def pipnet(**config: float) -> PIPNet:
    torch.manual_seed(0)
    return PIPNet(PIPNetConfig(**config), len(CLASSES), nn.Identity(), CHANNELS).eval()


def features(*peaks: float) -> Tensor:
    """[1,6,4,4] whose softmax has its maximum at these values for the first channels; the others share the rest."""
    z = torch.full((CHANNELS, 16), 1 / CHANNELS)
    for channel, peak in enumerate(peaks):
        z[:, channel] = (1 - peak) / (CHANNELS - 1)
        z[channel, channel] = peak
    return z.log().view(1, CHANNELS, 4, 4)


def test_published_phases():
    schedule = resolve("cub-pipnet-convnext").schedule
    pretrain, head, upper, joint = stages(schedule)
    assert [(stage.name, stage.epochs) for stage in (pretrain, head, upper, joint)] == [
        ("pretrain", 10),
        ("head", 3),
        ("joint", 7),
        ("joint", 50),
    ]
    assert (pretrain.batch_size, pretrain.ramps) == (128, ("align",))
    assert pretrain.lr == {"backbone": 5e-4, "addon": 5e-3}
    assert head.lr == {"head": 0.05}
    assert upper.lr == {**pretrain.lr, **head.lr}
    assert joint.lr == {**upper.lr, "lower": 5e-4}


def test_learning_rates_of_the_second_phase_are_those_of_one_run():
    """The head starts anew every ten epochs counted with those it trained alone; the network falls over all."""
    _, head, upper, joint = stages(PIPNetSchedule())
    alone, later = head.decay["head"], joint.decay["head"]
    assert alone.multiplier(3.999) == pytest.approx(later.multiplier(1), abs=1e-3)
    assert later.multiplier(8) == 1.0
    assert later.multiplier(7.999) == pytest.approx(0.02, abs=1e-3)
    assert upper.decay == joint.decay
    assert joint.decay["lower"] == joint.decay["backbone"]
    assert joint.decay["backbone"].total == 60


def test_fewer_joint_epochs_than_frozen_ones():
    *_, upper, joint = stages(PIPNetSchedule(joint_epochs=4, lower_frozen_epochs=7))
    assert (upper.epochs, joint.epochs) == (4, 0)


def test_threshold_leaves_out_prototypes_but_no_part_of_a_map():
    model, z = pipnet(inference_threshold=0.5), features(0.9, 0.4)
    maps, found = model.activation_maps(z)[0][0], model.activations(z)[0]
    assert found.tolist() == pytest.approx([0.9, 0, 0, 0, 0, 0])
    assert not maps[1:].any()
    torch.testing.assert_close(maps[0], z[0, 0].exp())


@torch.no_grad()
def test_nothing_found_is_no_decision():
    model = pipnet(inference_threshold=0.5)
    geometry = Geometry.of((4, 4), None, 4)
    known, foreign = (explain(model, z[0], geometry, CLASSES) for z in (features(0.9), features(0.4)))
    assert known.notices == ()
    assert [sum(match.presence > 0 for match in shown.found) for shown in known.classes] == [1, 1, 1]
    assert foreign.notices == (ABSTAINED,)
    assert {shown.score for shown in foreign.classes} == {0.0}
    assert {match.evidence for shown in foreign.classes for match in shown.found} == {0.0}
    assert {round(entry.probability, 6) for entry in foreign.predictions} == {round(1 / 3, 6)}


def test_prototypes_that_no_training_image_shows_lose_their_weights():
    model = pipnet()
    before = model.class_weights().detach().clone()
    model.finalize(torch.tensor([0.9, 0.1, 0.5, 0.05, -torch.inf, 0.11]))
    kept = torch.tensor([True, False, True, False, False, True])
    assert torch.equal(model.class_weights().detach(), before * kept)
