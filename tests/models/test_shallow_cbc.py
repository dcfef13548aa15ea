"""What is particular to the shallow CBC: components that are pictures, reasoning, and a radius that can be trusted."""

from __future__ import annotations

import math

import foolbox
import pytest
import torch
from torch import Tensor, nn

from protoexplain.errors import UserError
from protoexplain.models.families.shallow_cbc import FAMILY, ShallowCBCConfig, ShallowCBCLosses
from protoexplain.models.families.shallow_cbc.comparison import NegativeSquaredTangent, Siamese, orthonormal
from protoexplain.models.families.shallow_cbc.network import ShallowCBC
from protoexplain.models.similarity import NegativeSquaredL2

CLASSES, SIDE = 3, 6
FORMS = ("2024", "2019", "positive")


def fresh(seed: int = 0, **config) -> ShallowCBC:
    """Components far apart, kernels of several widths, and reasoning that tells classes apart."""
    torch.manual_seed(seed)
    settings = {"image_size": SIDE, "picture_channels": 1, "components": 5, "sigma": 2.0, **config}
    model = FAMILY.build(ShallowCBCConfig(**settings), CLASSES)
    assert isinstance(model, ShallowCBC)
    with torch.no_grad():
        model.branch.pictures.copy_(torch.rand(model.branch.pictures.shape))
        for parameter in model.branch.head.parameters():
            random = torch.rand(parameter.shape)
            parameter.copy_(random.square() if parameter.dim() == 3 else 8 * random)
        if model.branch.raw_sigma is not None:
            model.branch.raw_sigma.mul_(1 + torch.rand(len(model.branch.raw_sigma)))
    return model.eval()


def pictures(count: int = 40, side: int = SIDE) -> Tensor:
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(1))


def encoding(**config) -> tuple[ShallowCBC, Siamese]:
    """A model with an encoder that makes features of some size, and the encoder."""
    model = fresh(encoder=True, image_size=16, **config)
    siamese = model.branch.similarity
    assert isinstance(siamese, Siamese)
    with torch.no_grad():
        siamese.encoder[-3].bias.add_(torch.linspace(-1, 1, 128))
    return model, siamese


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


@pytest.mark.parametrize(
    ("form", "concepts", "dimension"), [*((form, concepts, 0) for form in FORMS for concepts in (1, 2)), ("2024", 2, 3)]
)
@pytest.mark.parametrize("detection", ["euclidean", "squared"])
def test_no_attack_gets_within_the_radius(form, detection, concepts, dimension):
    """Foolbox looks for pictures of another class at the certified radius of each picture, and farther away."""
    settings = {"sigma": 4.0 if detection == "squared" else 2.0, "subspace_dimension": dimension}
    model, grey = fresh(reasoning=form, detection=detection, concepts_per_class=concepts, **settings), pictures()
    output = model(grey.expand(-1, 3, -1, -1))
    answers = output.logits.argmax(1)
    published = model.certified_radius(output, answers).detach()
    radii = 2 * published if dimension else published  # the whole of what is proven for tangent distances
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


def test_tangent_distance_by_hand():
    """Pixels 0 and 1 are compared, 1 and 0 with 0 and 3; the component may be moved along pixel 4, where 0 meets 4."""
    model = fresh(image_size=4, components=1, subspace_dimension=1, sigma=2.0)
    component, picture = torch.zeros(1, 2, 16), torch.zeros(16)
    component[0, 0, 0] = component[0, 1, 4] = 1
    picture[1], picture[4] = 3, 4
    model.branch.prototypes.data = component.view(1, 2, 4, 4)
    found = model(picture.view(4, 4).expand(1, 3, 4, 4)).activations
    torch.testing.assert_close(found, torch.exp(-math.sqrt(10) / model.branch.sigma())[None])
    assert torch.equal(model.decoded_prototypes(), component[:, :1].view(1, 1, 4, 4).expand(-1, 3, -1, -1))


def test_tangent_distance_knows_no_moves_along_its_directions():
    model, grey = fresh(subspace_dimension=3), pictures(5)
    branch = model.branch
    distance = -branch.similarity_maps(grey.expand(-1, 3, -1, -1))[:, :, 0, 0]
    plain = -NegativeSquaredL2().maps(grey, branch.pictures)[:, :, 0, 0]
    assert (distance < plain).all()
    move = torch.einsum("kt,ktdhw->kdhw", torch.randn(5, 3), branch.directions)
    moved = -branch.similarity_maps((grey + move).expand(-1, 3, -1, -1))[:, :, 0, 0]
    torch.testing.assert_close(moved.diagonal(), distance.diagonal())
    assert not torch.isclose(moved, distance).all(), "other components have other directions"
    branch.pictures.data += move
    torch.testing.assert_close(-branch.similarity_maps(grey.expand(-1, 3, -1, -1))[:, :, 0, 0], distance)


def test_directions_stay_orthonormal_and_near():
    model = fresh(subspace_dimension=3, picture_channels=3)
    before = model.branch.directions.detach().clone()
    model.branch.directions.data += 0.01 * torch.randn(before.shape)
    model.constrain(frozenset({"prototypes"}))
    basis = model.branch.directions.detach().flatten(2)
    torch.testing.assert_close(basis @ basis.mT, torch.eye(3).expand(5, 3, 3), atol=1e-5, rtol=0)
    assert (basis - before.flatten(2)).abs().max() < 0.05
    skewed = torch.tensor([[1.0, 2, 0], [0, 3, 1]], dtype=torch.float64).view(1, 2, 1, 1, 3)
    one, other = skewed.flatten(2)[0], orthonormal(skewed).flatten(2)[0]
    assert torch.linalg.matrix_rank(torch.cat([one, other])) == 2, "the same subspace"


def test_a_component_that_is_dropped_takes_its_directions_along():
    model, kept = fresh(subspace_dimension=2), torch.tensor([0, 3])
    grey = pictures(4).expand(-1, 3, -1, -1)
    expected = model(grey).activations[:, kept]
    model.select(kept)
    torch.testing.assert_close(model(grey).activations, expected)


@pytest.mark.parametrize("detection", ["euclidean", "cosine"])
def test_encoder_makes_features_of_pictures_and_components(detection):
    model, siamese = encoding(detection=detection)
    grey = torch.cat([pictures(3, 16), model.branch.pictures[2:3].detach()])
    found = model(grey.expand(-1, 3, -1, -1)).activations.detach()
    features, components = siamese.encoder(grey).flatten(1), siamese.encoder(model.branch.pictures).flatten(1)
    if detection == "cosine":
        expected = torch.cosine_similarity(features[:, None], components, dim=2).relu()
    else:
        expected = torch.exp(-torch.cdist(features, components) / model.branch.sigma())
    torch.testing.assert_close(found, expected.detach(), atol=1e-3, rtol=1e-3)
    assert float(found[3, 2]) == pytest.approx(1, abs=1e-3), "a picture that is the component"


def test_encoder_learns_from_pictures_alone_and_components_through_it():
    """The gradients are those of a network in which the features of components, or those of pictures, are given."""
    model, siamese = encoding(detection="euclidean")
    weights, components, grey = list(siamese.encoder.parameters()), model.branch.pictures, pictures(3, 16)
    found = siamese.maps(grey, components).sum()
    of_weights = torch.autograd.grad(found, weights, retain_graph=True)
    (of_components,) = torch.autograd.grad(found, components)
    given = siamese.encoder(components).detach()
    expected = torch.autograd.grad(NegativeSquaredL2().maps(siamese.encoder(grey), given).sum(), weights)
    torch.testing.assert_close(of_weights, expected)
    mapped = NegativeSquaredL2().maps(siamese.encoder(grey).detach(), siamese.encoder(components)).sum()
    torch.testing.assert_close(of_components, torch.autograd.grad(mapped, components)[0])
    assert of_components.count_nonzero()


def test_filters_of_the_encoder_have_length_one():
    model, siamese = encoding()
    siamese.encoder[0].weight.data.mul_(3)
    model.constrain(frozenset({"addon"}))
    lengths = torch.cat([layer.weight.flatten(1).norm(dim=1) for layer in siamese.encoder if hasattr(layer, "weight")])
    torch.testing.assert_close(lengths, torch.ones(32 + 64 + 64 + 128))


def test_no_radius_behind_an_encoder():
    model, _ = encoding()
    output = model(pictures(2, 16).expand(-1, 3, -1, -1))
    with pytest.raises(UserError, match="the encoder has no certified radius"):
        model.certified_radius(output, torch.zeros(2, dtype=torch.long))
    assert not ShallowCBCConfig(encoder=True).certified
    assert ShallowCBCConfig(subspace_dimension=3).certified


def test_gradients_of_comparisons():
    torch.manual_seed(0)
    basis = orthonormal(torch.randn(2, 2, 1, 3, 3, dtype=torch.float64)).flatten(1, 2)
    subspaces = torch.cat([torch.rand(2, 1, 3, 3, dtype=torch.float64), basis], 1).requires_grad_()
    small = torch.rand(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(NegativeSquaredTangent(1).maps, (small, subspaces))
    siamese = Siamese(1, NegativeSquaredL2()).double()
    large = (torch.rand(2, 1, 16, 16, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(siamese.maps, tuple(large), fast_mode=True)


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
    with pytest.raises(ValueError, match="encoder needs image_size 16 or more, not 15"):
        ShallowCBCConfig(encoder=True, image_size=15)
    with pytest.raises(ValueError, match="use one of the two"):
        ShallowCBCConfig(encoder=True, subspace_dimension=2)
    with pytest.raises(ValueError, match="the cosine knows no subspaces"):
        ShallowCBCConfig(detection="cosine", subspace_dimension=2)
    with pytest.raises(ValueError, match="dimension 36 hold all pictures of 36 numbers"):
        ShallowCBCConfig(image_size=6, picture_channels=1, subspace_dimension=36)
    with pytest.raises(ValueError, match="no loss has a weight above 0"):
        ShallowCBCLosses(margin=0)
    with pytest.raises(UserError, match="32 x 32 pixels, the components 6"):
        fresh()(torch.rand(1, 3, 32, 32))
