"""Noise outside a box changes the prototypes that look elsewhere, and no others."""

import torch
from metrics.observe.test_attack import SIZE, chunk_of

from protoexplain.metrics.observe.box_noise import MEASURES, STRONGEST, BoxNoise
from protoexplain.metrics.observe.localisation import UNDEFINED


@torch.no_grad()
def noisy(leak, **settings):
    return BoxNoise(0)(chunk_of(leak, **settings))


def test_strongest_prototype_keeps_its_peak_if_it_looks_into_its_box():
    columns = noisy(0.0)
    assert columns["psc"][:, 0].abs().max() < 1e-6
    assert columns["prc"][:, 0].tolist() == columns["plc"][:, 0].tolist() == [0, 0, 0]


def test_leak_changes_the_peak():
    assert noisy(5.0)["psc"][:, 0].min() > 1e-4


def test_an_image_of_few_prototypes_leaves_the_rest_undefined():
    columns = noisy(0.0)
    assert all(columns[name].shape == (3, STRONGEST) for name in MEASURES)
    assert all((columns[name][:, 3:] == UNDEFINED).all() for name in MEASURES), "there are three prototypes"
    cells = SIZE // 4
    assert torch.allclose(columns["random"][:, :3], torch.tensor(2 * (cells**2 - 1) / (3 * cells)).double())


def test_each_image_has_its_own_noise():
    """Whatever else is in the batch."""
    together, alone = noisy(5.0), noisy(5.0, count=1)
    for name in MEASURES:
        torch.testing.assert_close(alone[name], together[name][:1], atol=1e-6, rtol=1e-5)
