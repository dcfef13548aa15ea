"""What every registered family has to keep, whatever it computes; a new family is tested by being registered."""

import json
import math

import pytest
import torch
from explained_pictures import explain
from tiny_runs import maps_of, open_run, pictures, same_tensors, tiny_config, tiny_model, with_train
from variants import VARIANTS, also_known

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.geometry import Geometry
from protoexplain.models.activation_statistics import RunningStatistics
from protoexplain.models.contract import PROBABILITIES
from protoexplain.models.registry import family_names, get_family
from protoexplain.models.similarity import gather_patches
from protoexplain.models.stage import BACKBONE
from protoexplain.training import engine, projection
from protoexplain.training.inputs import ImageInputs
from protoexplain.training.train_stage import train_stage

SIZE = 64
NAMES = ("Wren", "Robin", "Crow", "Tit")
BACKBONES = {name: {"name": f"test_{name}", "stride": 16, "weights": "none"} for name in ("efficientnet", "resnet")}


@pytest.fixture(scope="module", autouse=True)
def _variants():
    with also_known(VARIANTS):
        yield


@pytest.fixture(params=[*family_names(), *VARIANTS])
def family(request):
    return request.param


@pytest.fixture
def run(family, planted, tmp_path):
    return open_run(tiny_config(family), planted, tmp_path)


@pytest.fixture
def model(family):
    return moved(tiny_model(tiny_config(family)))


def moved(model, seed=1):
    """Weights that no initialisation rounded to the same values, so that mix-ups of prototypes show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, branch in model.named_branches():
            for parameter in branch.head.parameters():
                parameter.add_(torch.rand(parameter.shape, generator=generator))
    return model


def noise(count, seed=0):
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def single_stages(config):
    """Each kind of stage once, one epoch long, a projecting one if there is one of its name."""
    stages = get_family(config.family).stages(get_family(config.family).schedule())
    chosen = {}
    for stage in stages:
        if stage.name not in chosen or stage.project:
            chosen[stage.name] = stage.model_copy(update={"epochs": 1, "batch_size": None})
    return list(chosen.values())


# ---------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_shapes(family, backbone):
    if "backbone" in get_family(family).tiny:
        config = tiny_config(family)
    else:
        config = tiny_config(family, model={"backbone": BACKBONES[backbone]})
    model = tiny_model(config)
    features = model.backbone(noise(3))
    output, maps = model.from_features(features), maps_of(model, features)
    prototypes = model.num_prototypes
    assert output.logits.shape == (3, 4)
    assert list(output.branches) == [name for name, _ in model.named_branches()]
    assert model.activations(features).shape == (3, prototypes)
    assert maps.shape[:2] == (3, prototypes)
    assert features.shape[2] > 1, "a map of one cell tests nothing"
    assert model.ownership.labels.shape == (prototypes,)
    assert len(model.prototype_branch()) == prototypes == sum(model.branch_sizes())
    assert model.class_weights().shape == (4, prototypes)
    assert model.probabilities(output.logits).shape == (3, 4)
    assert model.ownership.owned.any(0).all()
    assert model.ownership.owned.any(1).all()


def test_probabilities_lie_between_nothing_and_certainty(model):
    """Whatever rounding has made of the scores; and scores that are probabilities already are not changed otherwise."""
    scores = torch.tensor([[1.0000015, -1e-7, 0.25, 0.5]])
    found = model.probabilities(scores)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    if model.score_unit is PROBABILITIES:
        assert torch.equal(found, torch.tensor([[1.0, 0.0, 0.25, 0.5]]))
    else:
        assert float(found.sum()) == pytest.approx(1)


@torch.no_grad()
def test_evidence_adds_up_to_the_scores(model):
    features = model.backbone(noise(4))
    activations, logits = model.activations(features), model.from_features(features).logits
    torch.testing.assert_close(model.from_activations(activations).logits, logits, rtol=1e-5, atol=1e-5)
    for known in (False, True):
        if known:
            model.set_statistics(statistics(model, features))
        told = model.evidence_scores(logits)
        evidence = model.evidence(activations, torch.arange(4))
        torch.testing.assert_close(evidence.total(), told, rtol=1e-5, atol=1e-4 if known else 1e-5)
        chosen = model.evidence(activations, torch.tensor([2, 0]))
        torch.testing.assert_close(chosen.total(), told[:, [2, 0]], rtol=1e-5, atol=1e-4 if known else 1e-5)
        relative = model.evidence_kind == "shapley"
        assert torch.equal(told, logits - logits.mean(1, keepdim=True) if relative else logits)


def statistics(model, features):
    running = RunningStatistics(len(features))
    running.update(model.activation_maps(features))
    return running.statistics()


KINDS = {
    "cbc": "reasoning",
    "pipnet": "product",
    "prototree": "route",
    "rbf_net": "product",
    "shallow_cbc": "reasoning",
    **dict.fromkeys(VARIANTS, "reasoning"),
}
"""Families whose evidence does not count from what is usual."""


@torch.no_grad()
def test_evidence_counts_from_what_is_usual_and_changes_no_score(family, model):
    features = model.backbone(noise(6))
    activations, before = model.activations(features), model.from_features(features).logits
    assert model.evidence_kind == ("shapley" if family == "prototypedl" else KINDS.get(family, "product"))
    model.set_statistics(statistics(model, features))
    assert model.evidence_kind == KINDS.get(family, "shapley")
    assert torch.equal(model.from_features(features).logits, before)
    if model.full_evidence_kind.relative:
        torch.testing.assert_close(model.baseline_activations(), activations.mean(0))
        usual = model.evidence(activations.mean(0, keepdim=True), torch.arange(4))
        torch.testing.assert_close(usual.presence, torch.zeros_like(usual.presence), atol=1e-4, rtol=0)
        torch.testing.assert_close(usual.bias, model.evidence_scores(before).mean(0), atol=1e-4, rtol=1e-5)
        assert float(model.evidence(activations, torch.arange(4)).presence.sum(2).abs().max()) < 1e-4, "over classes"
    kept = torch.arange(1, model.num_prototypes)
    expected = model.baseline_activations()[kept]
    model.select(kept)
    assert torch.equal(model.baseline_activations(), expected)
    torch.testing.assert_close(model.statistics.usual, activations.mean(0)[kept])
    model.set_baseline_activations(None)
    assert model.evidence_kind == KINDS.get(family, "product")
    assert not model.baseline_activations().any()


@torch.no_grad()
def test_cells_are_those_of_the_activations(model):
    features = model.backbone(noise(4))
    maps, output = maps_of(model, features).flatten(2), model.from_features(features)
    cells = torch.cat([branch.cells for branch in output.branches.values()], 1)
    found = maps.gather(2, cells[:, :, None])[:, :, 0]
    torch.testing.assert_close(found, output.activations, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_activation_is_the_maximum_of_its_map(model):
    features = model.backbone(noise(4))
    best = maps_of(model, features).flatten(2).amax(2)
    torch.testing.assert_close(best, model.activations(features), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_one_image_gives_the_same_as_in_a_batch(model):
    images = noise(5)
    together = model(images).logits
    alone = torch.cat([model(image[None]).logits for image in images])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_inference_is_deterministic_and_changes_nothing(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = model(noise(3)).logits
    assert torch.equal(first, model(noise(3)).logits)
    assert same_tensors(before, model.state_dict())
    assert len({tuple(row) for row in first.tolist()}) == 3, "different images have different scores"


@torch.no_grad()
def test_memory_layout_does_not_matter(model):
    images = noise(3)
    expected = model(images).logits
    torch.testing.assert_close(
        model(images.contiguous(memory_format=torch.channels_last)).logits, expected, rtol=1e-4, atol=1e-5
    )
    plain = model.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(plain(images).logits, expected, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------- training


def test_two_steps_of_every_stage(run):
    """Weights of the trained groups move, those of the others stay, and nothing turns into NaN."""
    run.data = with_train(run.data, run.data.train[::2])
    assert run.config.training.batch_size < len(run.data.train) <= 2 * run.config.training.batch_size
    for index, stage in enumerate(single_stages(run.config)):
        before = {name: parameter.detach().clone() for name, parameter in run.model.named_parameters()}
        held = {name: buffer.clone() for name, buffer in run.model.named_buffers()}
        groups = run.model.parameter_groups()
        names = {id(parameter): name for name, parameter in run.model.named_parameters()}
        trained = {names[id(p)] for group in stage.lr if group in groups for p in groups[group]}
        train_stage(run, stage)
        run.end_stage()
        changed = {name for name, p in run.model.named_parameters() if not torch.equal(p.detach(), before[name])}
        written = {name for name in before if name.endswith(".prototypes")} if stage.project else set()
        assert changed <= trained | written, f"{stage.name} changed frozen parameters"
        seen = {name for name, buffer in run.model.named_buffers() if not torch.equal(buffer, held[name])}
        assert changed if stage.lr else seen, f"{stage.name} trained nothing"
        assert all(bool(torch.isfinite(tensor).all()) for tensor in run.model.state_dict().values())
        assert run.state.stage == index + 1
        assert run.state.epochs_done[stage.name] == 1


def test_every_trainable_parameter_gets_a_gradient_in_some_stage(run):
    reached = set()
    batch = next(ImageInputs(run.dataset(run.data.train, True)).epoch(0, range(8), 8))
    for stage in single_stages(run.config):
        if not engine.freeze(run.model, stage.lr):
            continue
        engine.set_training_mode(run.model)
        step = engine.TrainStep(run.model, "images", frozenset(stage.losses))
        for active in [name for name, _ in run.model.named_branches()] if stage.alternate else [None]:
            run.model.zero_grad()
            terms, _ = step(batch.values, batch.labels, active)
            sum(stage.losses[name] * term for name, term in terms.items()).backward()
            for name, parameter in run.model.named_parameters():
                if parameter.grad is not None and parameter.grad.count_nonzero():
                    reached.add(name)
    groups, named = run.model.parameter_groups(), dict(run.model.named_parameters())
    grouped = {id(p) for group in groups.values() for p in group}
    assert grouped == {id(p) for p in named.values()}, "parameters outside all groups are never trained"
    rates = {group for stage in single_stages(run.config) for group in stage.lr}
    assert set(groups) - rates <= BACKBONE, "only a backbone may stay as it is"
    trained = {id(p) for group in rates & set(groups) for p in groups[group]}
    assert {name for name, p in named.items() if id(p) in trained} == reached


def test_losses_of_all_stages_are_known(run):
    """Together the branches compute every loss term that the schedule weighs."""
    batch = next(ImageInputs(run.dataset(run.data.train, True)).epoch(0, range(4), 4))
    for stage in single_stages(run.config):
        names = frozenset(stage.losses)
        output = engine.outputs(run.model, "images", batch.values, names=names)
        terms = run.model.loss_terms(output, batch.labels, names)
        assert set(terms) == set(stage.losses)
        assert all(term.shape == () and math.isfinite(term.item()) for term in terms.values())


# ---------------------------------------------------------------------- projection


@torch.no_grad()
def brute_force(model, images, labels):
    """Similarity, image and cell of the best patch of each prototype: every patch of every image by itself."""
    found = []
    owners = model.ownership.owned.split(model.branch_sizes())
    for (_, branch), owner in zip(model.named_branches(), owners, strict=True):
        best = [(-math.inf, -1, -1, -1)] * len(owner)
        height, width = branch.prototypes.shape[2:]
        for index, image in enumerate(images):
            z = branch.addon(model.backbone(image[None]))
            for row in range(z.shape[2] - height + 1):
                for column in range(z.shape[3] - width + 1):
                    patch = z[:, :, row : row + height, column : column + width]
                    values = branch.projected_by.maps(patch, branch.prototypes).flatten().tolist()
                    for p, value in enumerate(values):
                        if owner[p, labels[index]] and value > best[p][0]:
                            best[p] = (value, index, row, column)
        found += best
    return found


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_projection_finds_what_a_search_over_all_patches_finds(run, batch_size):
    run.config = tiny_config(run.config.family, training={"batch_size": batch_size})
    run.data = with_train(run.data, shuffled(run.data.train))
    images, labels = pictures(run)
    expected = brute_force(run.model, images, labels)
    found = run.find_patches()
    image, row, column = (torch.cat([getattr(p, f) for p in found]).tolist() for f in ("image", "row", "column"))
    assert list(zip(image, row, column, strict=True)) == [best[1:] for best in expected]
    similarity = torch.cat([patches.similarity for patches in found])
    torch.testing.assert_close(similarity, torch.tensor([best[0] for best in expected]), rtol=1e-4, atol=1e-5)
    assert len(set(image)) > 1, "one image for all prototypes would prove little"


def shuffled(records):
    order = torch.randperm(len(records), generator=torch.Generator().manual_seed(3)).tolist()
    return tuple(records[i] for i in order)


@torch.no_grad()
def test_projected_prototypes_are_their_patches(run):
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    found = run.find_patches()
    if not run.model.prototype_source.projected:
        assert same_tensors(before, run.model.state_dict())
        return
    projection.replace_prototypes(run.model, found)
    images, _ = pictures(run)
    for patches, (_, branch) in zip(found, run.model.named_branches(), strict=True):
        for p, index in enumerate(patches.image.tolist()):
            z = branch.addon(run.model.backbone(images[index : index + 1]))
            own = branch.prototypes[p : p + 1]
            cell = patches.row[p] * patches.maps.shape[2] + patches.column[p]
            expected = branch.similarity.prototypes_from(gather_patches(z, own, cell.view(1, 1))[0])
            torch.testing.assert_close(own.flatten(1), expected, rtol=1e-4, atol=1e-5)
    others = {name for name in before if not name.endswith("prototypes")}
    assert same_tensors({n: before[n] for n in others}, {n: run.model.state_dict()[n] for n in others})


# ---------------------------------------------------------------------- checkpoints


def test_checkpoint_gives_the_same_model_and_names_the_patches(run, tmp_path):
    moved(run.model)
    before_projection = {name: branch.prototypes.detach().clone() for name, branch in run.model.named_branches()}
    found = run.find_patches()
    if run.model.prototype_source.projected:
        projection.replace_prototypes(run.model, found)
    written = run.model.prototype_source.projected
    run.save(tmp_path / "kept", run.origin_of(found, written), before_projection if written else {}, {}, "")
    checkpoint = Checkpoint.load(tmp_path / "kept")
    loaded = checkpoint.model()
    assert same_tensors(run.model.state_dict(), loaded.state_dict())
    with torch.no_grad():
        assert torch.equal(run.model.eval()(noise(3)).logits, loaded(noise(3)).logits)
    image, row, column = (torch.cat([getattr(p, f) for p in found]).tolist() for f in ("image", "row", "column"))
    ids = [run.data.train[index].id for index in image]
    assert [(r.image_id, r.row, r.column) for r in checkpoint.prototypes] == list(zip(ids, row, column, strict=True))
    assert {r.projected for r in checkpoint.prototypes} == {run.model.prototype_source.projected}


@torch.no_grad()
def test_forgetting_prototypes_is_deleting_their_columns(model):
    features = model.backbone(noise(4))
    kept = torch.arange(model.num_prototypes)[torch.arange(model.num_prototypes) % 3 != 1]
    activations, maps = model.activations(features), maps_of(model, features)
    owned, branches = model.ownership.owned, model.prototype_branch()
    whole = model.evidence(activations, torch.arange(4))
    model.select(kept)
    torch.testing.assert_close(model.activations(features), activations[:, kept])
    torch.testing.assert_close(maps_of(model, features), maps[:, kept])
    assert torch.equal(model.ownership.owned, owned[kept])
    assert model.prototype_branch() == [branches[index] for index in kept]
    part, told = model.evidence(activations[:, kept], torch.arange(4)), model.from_features(features).logits
    torch.testing.assert_close(part.total(), model.evidence_scores(told), rtol=1e-5, atol=1e-5)
    if not model.affine:
        return  # what the others add depends on those that are forgotten
    before, after = (whole.presence + whole.absence)[:, kept], part.presence + part.absence
    scale = after.abs().sum(1, keepdim=True) / before.abs().sum(1, keepdim=True)
    torch.testing.assert_close(after, before * scale, rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------------- explanations


def test_explanation_is_finite_and_adds_up(model):
    explanation = explain(model, noise(1)[0], Geometry.of((90, 70), None, SIZE), NAMES, image="x.jpg", rows=3)
    content = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert content["additive_error"] <= 1e-4
    assert [entry["label"] for entry in content["predictions"][:3]] == [entry["label"] for entry in content["classes"]]
    assert sorted(entry["name"] for entry in content["predictions"]) == sorted(NAMES)
    for entry in content["classes"]:
        shown = sum(m["presence"] for m in entry["found"]) + sum(m["absence"] for m in entry["missing"])
        assert shown + entry["remainder"] + entry["bias"] == pytest.approx(entry["score"], abs=1e-4)
        assert 0 <= entry["probability"] <= 1
        assert len(entry["found"]) == 3
        sizes = [abs(match["presence"]) for match in entry["found"]]
        assert sizes == sorted(sizes, reverse=True)


def test_clean_batches_show_every_image_once(run):
    seen = torch.cat([indices for _, _, indices in run.clean_batches(list(range(len(run.data.train))), "x")])
    assert sorted(seen.tolist()) == list(range(len(run.data.train)))
