"""Parts are found without labels: on features that tell where on the object a cell lies, and by the losses alone."""

import pytest
import torch

from protoexplain.models.parts import PartTeacher
from protoexplain.training.part_discovery import discover_parts, part_loss, statistics

PARTS, SIDE = 3, 12


class Channels(torch.nn.Module):
    channels = 8


def planted(count, seed=0):
    """Objects of three stripes at random places: features of each stripe, of the background, and noise.

    Returns:
        Features [N,8,H,W], coverage [N,H,W], and the stripe of each cell [N,H,W], 3 for the background.
    """
    generator = torch.Generator().manual_seed(seed)
    stripe = torch.full((count, SIDE, SIDE), PARTS)
    for one in stripe:
        top, left = (int(torch.randint(SIDE - 6 + 1, (), generator=generator)) for _ in range(2))
        for part in range(PARTS):
            one[top + 2 * part : top + 2 * part + 2, left : left + 6] = part
    looks = torch.randn(PARTS + 1, 8, generator=torch.Generator().manual_seed(9))
    features = looks[stripe].permute(0, 3, 1, 2) + 0.3 * torch.randn(count, 8, SIDE, SIDE, generator=generator)
    return features, (stripe < PARTS).float(), stripe


def purity(found, stripe):
    """Share of cells whose stripe is the most frequent one of the part that they are given."""
    table = torch.zeros(PARTS + 1, PARTS + 1)
    for part in range(PARTS + 1):
        table[part] = torch.bincount(stripe[found == part], minlength=PARTS + 1)
    return float(table.amax(1).sum() / table.sum()), len(set(table.argmax(1).tolist()))


@pytest.mark.parametrize(("seed", "steps"), [(0, None), (1, None)])
def test_stripes_of_planted_objects_are_found_in_other_images(seed, steps, monkeypatch):
    monkeypatch.setattr("protoexplain.models.parts.DIVISIONS", 1)
    teacher = PartTeacher(Channels(), PARTS, PARTS)
    assert not teacher.fitted
    features, coverage, _ = planted(100)
    discover_parts(teacher, features, coverage, seed)
    assert teacher.fitted
    features, _, stripe = planted(40, seed=5)
    share, different = purity(teacher(features).argmax(1), stripe)
    assert share > 0.97
    assert different == PARTS + 1
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_the_same_seed_finds_the_same_parts():
    features, coverage, _ = planted(8)
    states = []
    for _ in range(2):
        torch.manual_seed(len(states))
        teacher = PartTeacher(Channels(), PARTS, PARTS)
        discover_parts(teacher, features, coverage, 3)
        states.append(teacher.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_loss_prefers_compact_parts_of_equal_share():
    _, coverage, stripe = planted(10)
    right = 20.0 * torch.nn.functional.one_hot(stripe, PARTS + 1).permute(0, 3, 1, 2).float()
    shuffled = torch.where(stripe < PARTS, torch.randint(PARTS, stripe.shape), stripe)
    scattered = 20.0 * torch.nn.functional.one_hot(shuffled, PARTS + 1).permute(0, 3, 1, 2).float()
    one_part = 20.0 * torch.nn.functional.one_hot(PARTS * (stripe == PARTS), PARTS + 1).permute(0, 3, 1, 2).float()
    blind = right.clone()
    blind[:, PARTS] = 0
    on_object = coverage > 0.5
    best = part_loss(right, on_object)
    for worse in (scattered, one_part, blind):
        assert part_loss(worse, on_object) > best + 0.1


def test_an_image_without_an_object_does_no_harm():
    _, coverage, _ = planted(4)
    logits = torch.randn(4, PARTS + 1, SIDE, SIDE, requires_grad=True)
    loss = part_loss(logits, torch.zeros_like(coverage, dtype=torch.bool))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_statistics_of_channels():
    features = torch.randn(5, 3, 2, 2).half()
    mean, variance = statistics(features)
    flat = features.float().transpose(0, 1).flatten(1)
    torch.testing.assert_close(mean, flat.mean(1))
    torch.testing.assert_close(variance, flat.var(1))
