"""Local scores of every registered family, against loops over prototypes and pictures."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import tiny_config, tiny_model

from protoexplain.explanations.characteristics.local_scores import activations_at_peak, local_scores
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
from protoexplain.explanations.characteristics.variants import PUBLISHED, variants
from protoexplain.models.registry import family_names

SIZE = 64
MODELS = {name: tiny_model(tiny_config(name)) for name in family_names()}
NEUTRAL = tuple((name, entry.neutral) for name, entry in MODIFICATIONS.items())


@pytest.fixture(params=family_names(), scope="module")
def model(request):
    return MODELS[request.param]


def picture(seed=0, height=60, width=80):
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 256, (height // 10, width // 10, 3)), np.ones((10, 10, 1))).astype(np.uint8)


@torch.no_grad()
def by_loops(model, pictures):
    """[M,P] for the pictures of one image, one after the other."""
    scores = []
    maps = [[b.similarity_maps(model.backbone(one[None].float() / 255))[0] for one in pictures]
            for _, b in model.named_branches()]  # fmt: skip
    for (_, branch), versions in zip(model.named_branches(), maps, strict=True):
        for prototype in range(len(branch.prototypes)):
            row, column = divmod(int(versions[0][prototype].argmax()), versions[0].shape[2])
            own = torch.tensor([prototype])
            cells = [version[prototype, row, column].view(1, 1, 1) for version in versions]
            values = [branch.activation_maps(cell, own) for cell in cells]
            scores.append([float(values[0] - value) for value in values[1:]])
    return torch.tensor(scores).T


def test_against_loops(model):
    rgb = picture()
    found = local_scores(model, rgb, SIZE)
    assert found.scores.shape == (len(MODIFICATIONS), model.num_prototypes)
    torch.testing.assert_close(found.scores, by_loops(model, variants(rgb, SIZE)), atol=2e-4, rtol=1e-3)
    with torch.no_grad():
        features = model.backbone(variants(rgb, SIZE)[:1].float() / 255)
        torch.testing.assert_close(found.activations, model.activations(features)[0], atol=2e-4, rtol=1e-3)
        similar = torch.cat([b.similarity_maps(features)[0] for _, b in model.named_branches()])
    assert torch.equal(found.cells, similar.flatten(1).argmax(1))
    assert found.of(1) == pytest.approx(dict(zip(MODIFICATIONS, found.scores[:, 1].tolist(), strict=True)))


def test_no_change_scores_zero(model):
    found = local_scores(model, picture(), SIZE, NEUTRAL)
    assert found.scores.abs().max() < 1e-5


@settings(max_examples=5, deadline=None)
@given(seeds=st.lists(st.integers(0, 99), min_size=2, max_size=4), data=st.data())
def test_neither_batch_nor_order_matters(model, seeds, data):
    together = torch.stack([variants(picture(seed), SIZE, PUBLISHED[:3]) for seed in seeds])
    order = data.draw(st.permutations(range(len(seeds))))
    activations, cells = activations_at_peak(model, together)
    shuffled, shuffled_cells = activations_at_peak(model, together[order])
    torch.testing.assert_close(shuffled, activations[order], atol=1e-4, rtol=1e-4)
    assert torch.equal(shuffled_cells, cells[order])
    alone, _ = activations_at_peak(model, together[:1])
    torch.testing.assert_close(alone, activations[:1], atol=1e-4, rtol=1e-4)


def test_the_peak_is_not_searched_again():
    """A picture moved by half its width scores at the old place, not at the new peak."""
    from toy_models import dots, linear

    model = linear(torch.eye(3).tolist())
    original, moved = dots(red=0.8), dots(red=0.8).roll(4, 2)
    pictures = (torch.stack([original, moved])[None] * 255).to(torch.uint8)
    activations, cells = activations_at_peak(model, pictures)
    assert activations[0, :, 0].tolist() == pytest.approx([0.8, 0.0], abs=1e-6)
    assert cells[0, 0] == 1 * 8 + 2
