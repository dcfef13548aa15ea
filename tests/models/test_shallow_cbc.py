"""What is particular to the shallow CBC: components that are pictures, reasoning, and a radius that can be trusted."""

from __future__ import annotations

import foolbox
import pytest
import torch
from torch import Tensor, nn

from protoexplain.errors import UserError
from protoexplain.models.families.shallow_cbc import FAMILY, ShallowCBCConfig, ShallowCBCLosses
from protoexplain.models.families.shallow_cbc.network import ShallowCBC

CLASSES, SIDE = 3, 6
FORMS = ("2024", "2019", "positive")


def fresh(seed: int = 0, **config) -> ShallowCBC:
    """Components far apart, kernels of several widths, and reasoning that tells classes apart."""
    torch.manual_seed(seed)
    settings = {"image_size": SIDE, "picture_channels": 1, "components": 5, "sigma": 2.0, **config}
    model = FAMILY.build(ShallowCBCConfig(**settings), CLASSES)
    assert isinstance(model, ShallowCBC)
    with torch.no_grad():
        model.branch.prototypes.copy_(torch.rand(model.branch.prototypes.shape))
        for parameter in model.branch.head.parameters():
            random = torch.rand(parameter.shape)
            parameter.copy_(random.square() if parameter.dim() == 3 else 8 * random)
        if model.branch.raw_sigma is not None:
            model.branch.raw_sigma.mul_(1 + torch.rand(5))
    return model.eval()


def pictures(count: int = 40) -> Tensor:
    return torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


class Scores(nn.Module):
    """Grey pictures -> class scores, as an attack sees the model."""

    def __init__(self, model: ShallowCBC) -> None:
        super().__init__()
        self.model = model

    def forward(self, grey: Tensor) -> Tensor:
        return self.model(grey.expand(-1, 3, -1, -1)).logits


def test_detection_falls_with_the_distance_to_the_component():
    model, grey = fresh(), pictures(4)
    found = model(grey.expand(-1, 3, -1, -1)).activations
    distance = (grey[:, None] - model.branch.prototypes).flatten(2).norm(dim=2)
    torch.testing.assert_close(found, torch.exp(-distance / model.branch.sigma()))
    squared = fresh(detection="squared")
    torch.testing.assert_close(
        squared(grey.expand(-1, 3, -1, -1)).activations, torch.exp(-distance.square() / squared.branch.sigma())
    )


def test_cosine_detects_without_a_radius():
    model, grey = fresh(detection="cosine"), pictures(4)
    output = model(grey.expand(-1, 3, -1, -1))
    expected = torch.cosine_similarity(grey[:, None].flatten(2), model.branch.prototypes.flatten(1), dim=2).relu()
    torch.testing.assert_close(output.activations, expected)
    with pytest.raises(UserError, match="the cosine has no certified radius"):
        model.certified_radius(output, torch.zeros(4, dtype=torch.long))


@pytest.mark.parametrize("form", FORMS)
def test_a_class_has_the_score_of_its_best_concept(form):
    model = fresh(reasoning=form, concepts_per_class=2)
    output = model(pictures(6).expand(-1, 3, -1, -1))
    positive, negative = model.branch.head.reasoning()
    found = output.activations
    each = found @ positive + (1 - found) @ negative
    torch.testing.assert_close(output.logits, each.view(6, CLASSES, 2).amax(2))
    assert len(set(each.view(6, CLASSES, 2).argmax(2).flatten().tolist())) == 2


@pytest.mark.parametrize("concepts", [1, 2])
@pytest.mark.parametrize("detection", ["euclidean", "squared"])
@pytest.mark.parametrize("form", FORMS)
def test_no_attack_gets_within_the_radius(form, detection, concepts):
    """Foolbox looks for pictures of another class at the certified radius of each picture, and farther away."""
    sigma = 4.0 if detection == "squared" else 2.0
    model, grey = fresh(reasoning=form, detection=detection, concepts_per_class=concepts, sigma=sigma), pictures()
    output = model(grey.expand(-1, 3, -1, -1))
    answers = output.logits.argmax(1)
    radii = model.certified_radius(output, answers).detach()
    assert (radii > 0).all()
    attacked = foolbox.PyTorchModel(Scores(model).eval(), bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.L2DeepFoolAttack(steps=30, candidates=CLASSES)
    _, found, success = attack(attacked, grey, answers, epsilons=[None])
    lengths = (found[0] - grey).flatten(1).norm(dim=1)
    assert success[0].float().mean() > 0.5, "an attack that finds nothing tests nothing"
    assert (lengths[success[0]] >= radii[success[0]]).all()
    pgd = foolbox.attacks.L2ProjectedGradientDescentAttack(steps=15)
    far = 8 * float(radii.median())
    _, _, flipped = pgd(attacked, grey, answers, epsilons=[float(radii.median()), far])
    assert not (flipped[0] & (radii >= radii.median())).any()
    assert flipped[1].any()


def test_radius_is_positive_exactly_for_right_answers():
    model, labels = fresh(concepts_per_class=2), torch.arange(40) % CLASSES
    output = model(pictures().expand(-1, 3, -1, -1))
    assert torch.equal(model.certified_radius(output, labels) > 0, output.logits.argmax(1) == labels)


def test_components_and_reasoning_stay_what_they_are():
    model = fresh(reasoning="2019")
    model.branch.prototypes.data.mul_(3).sub_(1)
    model.branch.head.encoded.data.mul_(3).sub_(1)
    model.constrain(frozenset({"prototypes"}))
    shown = model.decoded_prototypes()
    assert shown.shape == (5, 3, SIDE, SIDE)
    assert 0 == shown.min() < shown.max() == 1
    sides = torch.stack(model.branch.head.probabilities())
    assert sides.min() >= 0
    torch.testing.assert_close(sides.sum(0), torch.ones_like(sides[0]))


def test_starts_as_published():
    torch.manual_seed(0)
    model = FAMILY.build(ShallowCBCConfig(components=20), 10)
    positive, negative = model.branch.head.reasoning()
    wanted = positive / (positive + negative)
    assert 0.4 <= wanted.min() < 0.42 < 0.58 < wanted.max() <= 0.6
    assert 0.45 <= model.branch.prototypes.min() < 0.46 < 0.54 < model.branch.prototypes.max() <= 0.55
    assert model.branch.sigma().tolist() == pytest.approx([58.0] * 20)
    assert positive.shape == (20, 20), "two concepts for each of ten classes"


def test_a_component_that_is_dropped_takes_its_kernel_along():
    model, kept = fresh(concepts_per_class=2), torch.tensor([0, 3])
    sigma = model.branch.sigma()[kept]
    model.select(kept)
    assert torch.equal(model.branch.sigma(), sigma)
    assert model(pictures(2).expand(-1, 3, -1, -1)).activations.shape == (2, 2)


def test_years_may_be_numbers_as_yaml_reads_them():
    assert ShallowCBCConfig(reasoning=2019).reasoning == "2019"


def test_settings_that_cannot_be():
    with pytest.raises(ValueError, match="backbone resnet18 gives none: use 'pixels'"):
        ShallowCBCConfig(backbone={"name": "resnet18"})
    with pytest.raises(ValueError, match="no loss has a weight above 0"):
        ShallowCBCLosses(margin=0)
    with pytest.raises(UserError, match="32 x 32 pixels, the components 6"):
        fresh()(torch.rand(1, 3, 32, 32))
