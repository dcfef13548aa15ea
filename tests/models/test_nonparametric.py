"""Non-parametric part prototypes: what clustering, foreground and stages do beyond the published numbers."""

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import open_run, same_tensors, tiny_config, tiny_model

from protoexplain.models.principal import foreground_rule
from protoexplain.models.registry import get_family
from protoexplain.models.transport import assigned_prototypes, moved_by_sums, moved_prototypes, transport_plan
from protoexplain.training.initial import start
from protoexplain.training.train_stage import train_stage


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


class TestTransport:
    def test_patches_are_shared_out_evenly_even_where_one_prototype_is_nearest_to_all(self):
        similarity = unit(60, 3, seed=1) / 5
        similarity[:, 0] += 0.5
        assert similarity.argmax(1).bincount(minlength=3).tolist() == [60, 0, 0]
        counts = transport_plan(similarity).argmax(1).bincount(minlength=3)
        assert int(counts.min()) >= 10
        plan = transport_plan(similarity, iterations=200)
        torch.testing.assert_close(plan.sum(1), torch.ones(60))
        torch.testing.assert_close(plan.sum(0), torch.full((3,), 20.0), rtol=1e-3, atol=0)

    def test_classes_are_by_themselves(self):
        similarity, labels = unit(20, 5, seed=2), torch.tensor([0, 1] * 10)
        owned = torch.tensor([[True, False]] * 2 + [[False, True]] * 3)
        found = assigned_prototypes(similarity, labels, owned)
        assert owned[found, labels].all()
        alone = assigned_prototypes(similarity[::2], labels[::2], owned)
        assert torch.equal(found[::2], alone)

    def test_a_single_patch_goes_where_it_is_most_similar(self):
        similarity, owned = torch.tensor([[0.1, 0.2, 0.9, 0.3]]), torch.tensor([[True], [True], [False], [True]])
        assert assigned_prototypes(similarity, torch.tensor([0]), owned).tolist() == [3]

    def test_patches_of_classes_without_prototypes_belong_to_none(self):
        owned = torch.tensor([[True, False]])
        assert assigned_prototypes(unit(4, 1), torch.tensor([0, 1, 0, 1]), owned).tolist() == [0, -1, 0, -1]


class TestMoves:
    def test_by_the_mean_however_many_patches_there_are(self):
        prototypes, patches = unit(3, 4), unit(5, 4, seed=1)
        few = moved_prototypes(prototypes, patches, torch.tensor([0, 0, 1, -1, -1]), 0.75)
        many = moved_prototypes(prototypes, patches.repeat(9, 1), torch.tensor([0, 0, 1, -1, -1]).repeat(9), 0.75)
        torch.testing.assert_close(few, many)
        torch.testing.assert_close(few[0], 0.75 * prototypes[0] + 0.25 * patches[:2].mean(0))
        assert torch.equal(few[2], prototypes[2]), "without patches it stays"

    def test_published_by_the_sum(self):
        prototypes, patches = unit(3, 4), unit(5, 4, seed=1)
        present = torch.tensor([True, True, False])
        moved = moved_by_sums(prototypes, patches, torch.tensor([0, 0, 0, -1, -1]), 0.75, present)
        torch.testing.assert_close(moved[0], 0.75 * prototypes[0] + 0.25 * patches[:3].sum(0))
        torch.testing.assert_close(moved[1], 0.75 * prototypes[1])
        assert torch.equal(moved[2], prototypes[2])


@pytest.mark.parametrize("sign", [1, -1])
def test_the_object_is_where_the_edges_are_not(sign):
    """Whatever the sign of the direction; one outlier does not move the middle."""
    on_object = torch.arange(400) % 4 == 0
    vectors = 0.1 * torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    vectors[:, 2] += sign * on_object
    vectors[-1, 2] -= 50 * sign
    weight, bias = foreground_rule(vectors, outside=~on_object & (torch.arange(400) % 3 > 0))
    assert torch.equal(vectors @ weight + bias > 0, on_object)


@pytest.fixture
def run(planted, tmp_path):
    return open_run(tiny_config("nonparametric"), planted, tmp_path)


def test_prototypes_move_alone_then_stay(run):
    prototypes, tuning = get_family("nonparametric").stages(run.config.schedule)
    start(run, run.model)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    train_stage(run, prototypes)
    moved = {name for name, value in run.model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"branches.main.prototypes", "background"}
    run.end_stage()
    held = run.model.all_prototypes()
    train_stage(run, tuning)
    assert torch.equal(run.model.all_prototypes(), held)
    assert not same_tensors(before, run.model.state_dict())


@torch.no_grad()
def test_features_are_standardised_and_edges_are_no_object(run):
    start(run, run.model)
    embedding = run.model.embedding
    images = torch.stack([run.dataset(run.data.train, False)[i][0][0] for i in range(len(run.data.train))])
    features = run.model.backbone(images)
    rows = ((features - embedding.mean[:, None, None]) / embedding.deviation[:, None, None]).movedim(1, 3).flatten(0, 2)
    torch.testing.assert_close(rows.mean(0), torch.zeros(rows.shape[1]), atol=1e-3, rtol=0)
    torch.testing.assert_close(rows.std(0), torch.ones(rows.shape[1]), atol=1e-3, rtol=0)
    torch.testing.assert_close(embedding.plain(features).norm(dim=1), torch.ones(len(images), *features.shape[2:]))
    shown = run.model.on_object(features)
    edge = torch.ones_like(shown[0])
    edge[1:-1, 1:-1] = False
    assert float(shown[:, edge].float().mean()) <= 0.5
    assert 0 < float(shown.float().mean()) < 1


@torch.no_grad()
def test_an_object_gate_tells_the_object_and_the_background_still_takes_part(planted, tmp_path):
    run = open_run(tiny_config("nonparametric", model={"object_gate": True}), planted, tmp_path)
    start(run, run.model)
    model, features = run.model, run.model.backbone(torch.rand(4, 3, 64, 64))
    gate = model.branch.addon
    gate.bias.copy_(-(features.movedim(1, 3) @ gate.weight).median())
    shown = model.on_object(features)
    assert torch.equal(shown, gate.on_object(features)[:, 0])
    assert torch.equal(gate(features).abs().sum(1) > 0, shown)
    labels = torch.arange(4)
    places = model.patch_labels(features, labels)
    assert torch.equal(places.view(4, *shown.shape[1:]) == model.classes, ~shown)
    terms = model.loss_terms(model.from_features(features), labels, frozenset({"patches"}))
    assert bool(torch.isfinite(terms["patches"]))


def test_patches_without_weight_cost_nothing():
    """Where all cells lie in the background and that has no weight, or no patch belongs to any prototype."""
    model = tiny_model(tiny_config("nonparametric", model={"background_weight": 0}))
    tokens = unit(6, model.background.shape[1])
    background = torch.full((6,), model.classes)
    assert float(model.patch_cost(tokens, background)) == 0
    mixed = torch.tensor([0, 1, *background[2:]])
    assert float(model.patch_cost(tokens, mixed)) > 0
    assert float(model.patch_cost(tokens, mixed)) == pytest.approx(float(model.patch_cost(tokens[:2], mixed[:2])))


def test_dropped_prototypes_leave_the_others_to_their_classes():
    model = tiny_model(tiny_config("nonparametric"))
    model.select(torch.tensor([0, 3, 4, 5, 6, 7]))
    owners = model.owners()
    assert owners.sum(0).tolist() == [1, 1, 2, 2, 2]
    assert owners[-2:, -1].all()
    labels = torch.arange(5).repeat(4)
    found = model.assigned(unit(20, model.background.shape[1]), labels)
    assert owners[found, labels].all()


@pytest.mark.parametrize("size", [64, 96])
@torch.no_grad()
def test_patches_of_a_vision_transformer_at_any_size(size):
    config = tiny_config("nonparametric", model={"backbone": {"name": "test_vit2", "stride": 16, "weights": "none"}})
    model = tiny_model(config)
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    output = model(images)
    assert output.features.shape[2:] == (size // 16, size // 16)
    evidence = model.evidence(output.activations, torch.arange(4))
    torch.testing.assert_close(evidence.total(), output.logits, rtol=1e-5, atol=1e-5)
