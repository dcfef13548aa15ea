"""The classifier over parts: what its cost asks of each cell, and a teacher that stays as it is."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.backbones import Backbone
from protoexplain.models.parts import BACKGROUNDS, PLACE, SCALE, TEMPERATURE, PartClassifier, PartOutput

CLASSES, PARTS = 3, 2


class Identity(nn.Module):
    """Images are the features."""

    channels = 5

    def forward(self, images):
        return images


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PartClassifier(Identity(), CLASSES, PARTS)


def taught(model, images, shown):
    output = model.from_images(images)
    return PartOutput(logits=output.logits, branches=output.branches, images=images, shown=shown)


def test_scores_are_the_scaled_mean_similarity_of_the_parts(model):
    images = torch.randn(4, 5, 3, 3)
    z = model.eval().branches["parts"].addon(images)
    prototypes = F.normalize(model.branches["parts"].prototypes.flatten(1), dim=1)
    best = (prototypes @ F.normalize(z.flatten(2), dim=1)).amax(2).view(4, CLASSES, PARTS)
    torch.testing.assert_close(model(images).logits, SCALE * best.mean(2))


def test_part_cost_equals_a_slow_loop(model):
    images, labels = torch.randn(2, 5, 2, 2), torch.tensor([2, 0])
    shown = torch.tensor([[[0, 1], [2, 2]], [[1, 1], [0, 2]]])
    output = taught(model.eval(), images, shown)
    z = F.normalize(output.branches["parts"].latent, dim=1)
    prototypes = F.normalize(model.branches["parts"].prototypes.flatten(1), dim=1)
    background = F.normalize(model.background.flatten(1), dim=1)
    of_parts, of_background = [], []
    for image in range(2):
        own = prototypes[labels[image] * PARTS : (labels[image] + 1) * PARTS]
        for row in range(2):
            for column in range(2):
                cell = z[image, :, row, column]
                likely = (torch.cat([own, background]) @ cell / TEMPERATURE).softmax(0)
                part = int(shown[image, row, column])
                if part < PARTS:
                    of_parts.append(-likely[part].log())
                else:
                    of_background.append(-likely[PARTS:].sum().log())
    places = []
    for image in range(2):
        for part in range(PARTS):
            here = (shown[image] == part).flatten()
            if here.any():
                cosine = prototypes[labels[image] * PARTS + part] @ z[image].flatten(1)
                places.append(-(cosine / TEMPERATURE).softmax(0)[here].sum().log())
    assert len(places) == 2 * PARTS
    of_cells = torch.stack(of_parts).mean() + torch.stack(of_background).mean()
    expected = of_cells + PLACE * torch.stack(places).mean()
    terms = model.loss_terms(output, labels, frozenset({"parts", "cross_entropy"}))
    torch.testing.assert_close(terms["parts"], expected)
    torch.testing.assert_close(terms["cross_entropy"], F.cross_entropy(output.logits, labels))


def test_part_cost_where_no_cell_shows_a_part(model):
    output = taught(model.eval(), torch.randn(1, 5, 2, 2), torch.full((1, 2, 2), PARTS))
    cost = model.loss_terms(output, torch.tensor([0]), frozenset({"parts"}))["parts"]
    assert 0 < float(cost.detach()) < 1e3
    cost.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.branches["parts"].addon.parameters())


def test_gradients_reach_all_but_the_teacher(model):
    before = {name: value.clone() for name, value in model.teacher.state_dict().items()}
    output = model.train().from_images(torch.randn(6, 5, 3, 3), frozenset({"parts"}))
    assert isinstance(output, PartOutput)
    terms = model.loss_terms(output, torch.arange(6) % CLASSES, frozenset({"parts", "cross_entropy"}))
    sum(terms.values()).backward()
    for name, parameter in model.named_parameters():
        if name.startswith("teacher."):
            assert parameter.grad is None
        elif not name.endswith("head.weight"):
            assert parameter.grad.abs().sum() > 0, name
    assert not any(module.training for module in model.teacher.modules())
    assert all(torch.equal(before[name], value) for name, value in model.teacher.state_dict().items())


def test_the_teacher_is_asked_only_where_the_part_cost_is(model):
    assert not isinstance(model.from_images(torch.randn(1, 5, 2, 2), frozenset({"cross_entropy"})), PartOutput)


def test_what_the_frozen_stem_gave_leads_to_the_same_costs():
    torch.manual_seed(0)
    config = BackboneConfig(name="test_efficientnet", stride=16, pyramid_stride=8, frozen_stride=8, weights="none")
    model = PartClassifier(Backbone(config), CLASSES, PARTS).eval()
    images, labels, names = torch.rand(2, 3, 64, 64), torch.tensor([0, 2]), frozenset({"parts", "cross_entropy"})
    with torch.no_grad():
        direct = model.loss_terms(model.from_images(images, names), labels, names)
        cached = model.loss_terms(model.from_stem(model.backbone.stem(images), names), labels, names)
    torch.testing.assert_close(direct, cached)


def test_groups_of_parameters(model):
    groups = model.parameter_groups()
    assert model.background is groups["prototypes"][-1]
    assert model.background.shape[0] == BACKGROUNDS
    trained = {id(parameter) for group in groups.values() for parameter in group}
    assert not trained & {id(parameter) for parameter in model.teacher.parameters()}


def test_regions_that_are_no_parts_count_as_background():
    torch.manual_seed(0)
    teacher = PartClassifier(Identity(), CLASSES, PARTS, regions=5).teacher
    teacher.choose_parts(torch.tensor([4, 1]), 0, torch.tensor([True, False]))
    assert teacher.tells.tolist() == [True, False]
    images = torch.randn(2, 5, 4, 4)
    regions = teacher(images).argmax(1)
    part_of = {4: 0, 1: 1}
    expected = [part_of.get(region, PARTS) for region in regions.flatten().tolist()]
    assert teacher.of_images(images).flatten().tolist() == expected
