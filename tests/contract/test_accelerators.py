"""Every family on an accelerator and under mixed precision: the same numbers as on the CPU, as far as they can be."""

import pytest
import torch
import two_sizes
from pretended_device import DEVICE, OnDevice, pretended_device, pretended_fabric
from tiny_runs import tiny_config, tiny_model, tiny_train
from variants import VARIANTS, also_known

from benchmarks.device_family import FEW, METRICS
from benchmarks.distinctions import distinguish, place_of
from protoexplain.checkpoint.save import save_checkpoint
from protoexplain.data.dataset_view import matching_view
from protoexplain.editing import preview
from protoexplain.editing.decisions import Decisions
from protoexplain.editing.edit import edit
from protoexplain.errors import UserError
from protoexplain.explanations.attribution.attribute import attribute
from protoexplain.explanations.attribution.methods import METHODS
from protoexplain.explanations.attribution.task import AttributionTask, Target
from protoexplain.explanations.characteristics.measurement import CharacteristicsMeasurement
from protoexplain.explanations.evidence.what_if import Edit, what_if
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.prototypes.prototype import explain_prototypes
from protoexplain.fabric import make_fabric
from protoexplain.io.cache import DiskCache
from protoexplain.metrics.observe.images import read_test_images
from protoexplain.metrics.observe.needs import missing_needs
from protoexplain.metrics.registry import get_metric
from protoexplain.metrics.runner import measure
from protoexplain.models.registry import family_names, get_family
from protoexplain.progress import Silent
from protoexplain.training import checkpoint_ops as rework
from protoexplain.training import run
from protoexplain.training.evaluate import evaluate
from protoexplain.training.verify import verify

ONCE = {"pretrain_epochs": 1, "head_epochs": 1, "joint_epochs": 1}
PROJECTED = {"warm_epochs": 1, "projections": [1], "last_layer_epochs": 1}
SHORTEST = {
    "protopnet": PROJECTED,
    "st_protopnet": {"epochs": 2, **PROJECTED},
    "tesnet": PROJECTED,
    "evalprotopnet": PROJECTED,
    "protopool": PROJECTED,
    "prototree": {"warm_epochs": 1, "joint_epochs": 1, "lr_backbone": 0, "lr_lower": 0},
    "cbc": ONCE,
    "rbf_net": ONCE,
    "pipnet": {**ONCE, "joint_epochs": 2, "lower_frozen_epochs": 1},
    **{name: {"epochs": 1} for name in ("shallow_cbc", *VARIANTS)},
    "nonparametric": {},
    "prototypedl": {"epochs": 1, "last_layer_epochs": 1},
    two_sizes.NAME: PROJECTED,
}
"""Each kind of stage once."""
SMALL = {"model": {"backbone": {"stride": 8}}, "data": {"image_size": 32}}
"""Images whose maps have 4 x 4 cells."""
CLOSE = {"rtol": 1e-3, "atol": 1e-4}
REMOVAL = {"format": 1, "epochs": 1, "decisions": [{"prototype": 0, "do": "remove", "reason": "other"}]}


GUESTS = {two_sizes.NAME: two_sizes.FAMILY, **VARIANTS}
"""A family with prototypes of two sizes, and some with other comparisons."""
compared_otherwise = pytest.mark.parametrize("family", [*family_names(), *GUESTS])


@pytest.fixture(params=[*family_names(), two_sizes.NAME])
def family(request):
    return request.param


@pytest.fixture(scope="module", autouse=True)
def _guests():
    with also_known(GUESTS):
        yield


@pytest.fixture(scope="module")
def trained(planted, tmp_path_factory):
    """Family -> its checkpoint, trained on the CPU once."""
    folder, kept = tmp_path_factory.mktemp("trained"), {}

    def checkpoint(family):
        if family not in kept:
            assert run.make_fabric is make_fabric, "trained on the device that it is compared with"
            kept[family] = shortest(family, planted, folder / family).checkpoint
        return kept[family]

    return checkpoint


class Asking(Silent):
    """A watcher that wants to know how long the training still takes, so that its steps are timed before."""

    def left(self, seconds):
        assert seconds >= 0


def shortest(family, planted, out, options=None):
    changes = {"schedule": SHORTEST.get(family, {}), "training": {"fine_tuning": {"epochs": 1}, "batch_size": 32}}
    size = {} if "image_size" in get_family(family).tiny else SMALL
    return tiny_train(family, planted, out, options=options, **size, **changes)


@pytest.fixture
def device(request, trained, monkeypatch):
    """All work that would look for a device finds the pretended one; what it is compared with was trained before."""
    trained(request.getfixturevalue("family") if "family" in request.fixturenames else "protopnet")
    for module in (run, rework):
        monkeypatch.setattr(module, "make_fabric", pretended_fabric)
    monkeypatch.setattr(run, "resolve_device", lambda *_: DEVICE)
    monkeypatch.setattr(preview, "resolve_device", lambda *_: DEVICE)
    with pretended_device():
        yield DEVICE


# ---------------------------------------------------------------------- the device itself


def test_the_pretended_device_refuses_what_a_real_one_refuses(device):
    there, here = torch.rand(3, 4).to(device), torch.rand(3, 4)
    assert isinstance(there, OnDevice)
    assert there.device == device
    for wrong in (
        lambda: there + here,
        lambda: here[there[:, 0] > 0],
        lambda: there.index_put_((torch.tensor([0]),), here[:1]),
        lambda: torch.cat([there, here]),
        lambda: there @ here.T,
        lambda: there.to(torch.float64),
        lambda: there.double().cpu(),
        lambda: torch.zeros(2, device=device, dtype=torch.float64),
        lambda: here.double().to(device),
        lambda: there.numpy(),
    ):
        with pytest.raises((RuntimeError, TypeError)):
            wrong()
    there[torch.tensor([0, 2])] = 1
    torch.testing.assert_close(there.cpu().double().sum(1)[[0, 2]], torch.full((2,), 4.0, dtype=torch.float64))
    assert torch.equal((there + torch.tensor(1.0)).cpu(), there.cpu() + 1)


# ---------------------------------------------------------------------- training and later work


@compared_otherwise
def test_training(family, device, trained, planted, tmp_path):
    expected, made = trained(family), shortest(family, planted, tmp_path / "run", {"watcher": Asking()}).checkpoint
    assert made.metrics["test_accuracy"] == expected.metrics["test_accuracy"]
    there, here = made.model().state_dict(), expected.model().state_dict()
    close = torch.cat([torch.isclose(there[name], tensor, **CLOSE).flatten() for name, tensor in here.items()])
    assert close.float().mean() > 0.99, "but for weights without effect, which Adam moves as rounding tells"
    places = [[(r.image_id, r.row, r.column) for r in checkpoint.prototypes] for checkpoint in (made, expected)]
    assert places[0] == places[1]
    data = matching_view(made, planted)
    assert verify(made, data, device).passed
    assert evaluate(made, planted, device=device) == evaluate(expected, planted)


def test_projecting_and_pruning(family, device, trained, planted, tmp_path):
    path, model, made = trained(family).path, trained(family).model(), []
    if model.prototype_source.projected:
        made.append(rework.reproject(path, planted, tmp_path / "projected", Silent(), "", epochs=1))
    else:
        with pytest.raises(UserError, match="does not write patches"):
            rework.reproject(path, planted, tmp_path / "projected", Silent(), "")
    if model.ownership.all_shared:
        with pytest.raises(UserError, match="all classes share"):
            rework.prune(path, planted, tmp_path / "pruned", Silent(), "")
    else:
        made.append(rework.prune(path, planted, tmp_path / "pruned", Silent(), "", threshold=1, epochs=1))
    for checkpoint in (result.checkpoint for result in made):
        assert verify(checkpoint, matching_view(checkpoint, planted), device).passed


def test_editing(family, device, trained, planted, tmp_path):
    made = edit(trained(family).path, Decisions.model_validate(REMOVAL), planted, tmp_path / "edited")
    assert len(made.checkpoint.prototypes) == len(trained(family).prototypes) - 1


def test_measuring(family, device, trained, planted):
    checkpoint = trained(family)
    lacks = missing_needs(checkpoint, read_test_images(checkpoint, planted), None)
    names = [name for name in METRICS if not get_metric(name).needs & lacks.keys()]
    assert "accuracy" in names
    there = measure(checkpoint, planted, names, FEW, fabric=pretended_fabric())
    here = measure(checkpoint, planted, names, FEW)
    for name in names:
        assert there[name].score.value == pytest.approx(here[name].score.value, rel=1e-3), name


# ---------------------------------------------------------------------- explaining


def test_explaining(family, device, trained, planted):
    checkpoint = trained(family)
    image = matching_view(checkpoint, planted).test[0].path
    told = []
    for explainer in (Explainer(checkpoint), Explainer(checkpoint, device)):
        forward = explainer.forward(image)
        result = explainer.with_characteristics(explainer.explain(forward, rows=3))
        change = explainer.what_would_change(forward)
        shown = result.explanation.classes[0].found
        told.append(
            {
                "explanation": result.explanation.to_dict(),
                "contrast": explainer.contrast(forward).to_dict(),
                "change": None if change is None else change.to_dict(),
                "tried": {name: one.to_dict() for name, one in explainer.occlusion_test(forward, shown, 2).items()},
                "edited": what_if(
                    explainer.cropped(forward).forward_pass, explainer.edited(forward, Edit({"hue": 0.1})).forward_pass
                ),
                "class": explainer.attribute(forward, Target("class", 1), ["saliency", "map", "grad-cam"]).to_dict(),
            }
        )
    here, there = told
    assert there["explanation"]["additive_error"] < 1e-4
    assert there["contrast"]["additive_error"] < 1e-4
    assert there["edited"].check() < 1e-4
    assert nearly(there["contrast"]) == nearly(here["contrast"])
    assert nearly(there["explanation"]["predictions"]) == nearly(here["explanation"]["predictions"])
    assert nearly(there["change"]) == nearly(here["change"])
    assert nearly(there["tried"]) == nearly(here["tried"])
    assert nearly(there["class"]["value"]) == nearly(here["class"]["value"])


def nearly(content):
    """The same JSON-ready content with numbers that compare as nearly equal."""
    if isinstance(content, dict):
        return {key: nearly(value) for key, value in content.items() if key != "additive_error"}
    if isinstance(content, list | tuple):
        return [nearly(value) for value in content]
    return pytest.approx(content, rel=1e-3, abs=1e-4) if isinstance(content, float) else content


def test_attributing(device, trained, planted):
    checkpoint = trained("protopnet")
    explainer = Explainer(checkpoint, device)
    forward = explainer.forward(matching_view(checkpoint, planted).test[0].path)
    task = AttributionTask(
        forward.forward_pass, Target("prototype", 1), lambda: explainer.fields, samples=32, noisy=4, steps=4
    )
    found = attribute(task, None, ["gaussian", "mask"], fit_samples=8)
    assert found.maps.keys() == METHODS.keys()
    assert all(error is None or error >= 0 for errors in found.errors.values() for error in errors.values())


def test_all_prototypes(family, device, trained, planted, tmp_path):
    checkpoint = trained(family)
    explainer, data = Explainer(checkpoint, device), matching_view(checkpoint, planted)
    splits = {"test": data.dataset(data.test, checkpoint.config.data)}
    there = explain_prototypes(explainer.model, checkpoint.prototypes, checkpoint.classes, splits, 2)
    here = explain_prototypes(checkpoint.model(), checkpoint.prototypes, checkpoint.classes, splits, 2)
    assert nearly([entry.to_dict() for entry in there]) == nearly([entry.to_dict() for entry in here])
    size = checkpoint.config.data.image_size
    caches = {name: DiskCache(tmp_path / name, 1 << 20) for name in ("textures", "tables")}
    measurement = CharacteristicsMeasurement(
        explainer.model, checkpoint.weights_sha256, data.crop, size, lambda *_: None, **caches
    )
    assert measurement.run(data.test[:2], "test", "").images == 2
    rgb = explainer.forward(data.test[0].path).rgb
    place = place_of(explainer.model, rgb, size, 0, 1)
    assert distinguish(explainer.model, rgb, size, place, 0, 1).drops.keys() >= {"hue", "shape"}


def test_checkpoint_of_an_accelerator_on_a_computer_without(trained, planted, tmp_path):
    """What its configuration names is where it was trained, not where it is worked on."""
    made = trained("protopnet")
    training = made.config.training.model_copy(update={"accelerator": "tpu", "precision": "16-mixed", "devices": 4})
    foreign = save_checkpoint(
        tmp_path / "foreign",
        model=made.model(),
        config=made.config.model_copy(update={"training": training}),
        classes=made.classes,
        data=made.data,
        records=made.prototypes,
        pictures=rework.pictures_of(made, range(len(made.prototypes))),
        before_projection=made.before_projection(),
        metrics={},
    )
    projected = rework.reproject(foreign.path, planted, tmp_path / "projected", Silent(), "", epochs=1)
    pruned = rework.prune(foreign.path, planted, tmp_path / "pruned", Silent(), "", threshold=1, epochs=1)
    edited = edit(foreign.path, Decisions.model_validate(REMOVAL), planted, tmp_path / "edited")
    assert all(made.checkpoint.config.training == training for made in (projected, pruned, edited))


# ---------------------------------------------------------------------- mixed precision


@compared_otherwise
@torch.no_grad()
def test_cells_and_scores_under_mixed_precision(family):
    model = tiny_model(tiny_config(family))
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        features = model.backbone(images)
        output = model.from_features(features)
        latents = {name: branch.addon(features) for name, branch in model.named_branches()}
    network = any(True for _ in model.backbone.parameters())
    assert (features.dtype == torch.bfloat16) == network, "half precision was not used at all"
    scores = []
    for name, branch in model.named_branches():
        out, z = output.branches[name], latents[name].float()
        maps = branch.similarity.maps(z, branch.prototypes).flatten(2)
        chosen = maps.gather(2, out.cells[:, :, None])[:, :, 0]
        torch.testing.assert_close(chosen, maps.amax(2), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(out.similarity if branch.loss_similarity is None else chosen, chosen)
        torch.testing.assert_close(out.activations, branch.activation(chosen), rtol=1e-4, atol=1e-4)
        scores.append(branch.head(out.activations))
    assert torch.equal(output.logits, torch.stack(scores).sum(0))
    exact = model(images).logits
    torch.testing.assert_close(output.logits, exact, rtol=0.05, atol=0.05 * float(exact.std()))
