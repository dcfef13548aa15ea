"""Metrics in a loop of one's own: update with batches, compute, the same numbers as `measure`."""

import re
from pathlib import Path

import pytest
import torch
from metrics.measured_checkpoints import keep_checkpoint

import protoexplain as px
from protoexplain.data.loading import batches
from protoexplain.metrics.observe.images import read_test_images
from protoexplain.metrics.runner import measure

DOCS = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
QUICK = {"steps": 3, "draws": 2, "resamples": 100, "part_rules": ["maps"], "attack": {"steps": 2}}
OTHER_IMAGES = {"foreign_accepted", "foreign_auroc", "class_from_background", "class_from_object", "off_object"}
"""What needs foreign or training images too."""


@pytest.fixture(scope="module", params=["protopnet", "cbc"])
def measured(request, planted, tmp_path_factory):
    """A checkpoint, and what `measure` finds of it on all test images."""
    checkpoint = keep_checkpoint(request.param, planted, tmp_path_factory.mktemp("updated") / "checkpoint")
    return checkpoint, measure(checkpoint, planted, None, QUICK)


@pytest.fixture
def checkpoint(measured):
    return measured[0]


def update(metrics, images, size):
    order = list(range(len(images.records)))
    for batch in batches(images.dataset(), order, size):
        chosen = batch.indices.tolist()
        records, geometries = ([table[index] for index in chosen] for table in (images.records, images.geometries))
        metrics.update(batch.images[:, 0], batch.labels, records, geometries)


def test_every_metric_equals_a_measurement(measured, planted):
    checkpoint, results = measured
    needs = {name: px.get_metric(name).needs & {"interventions", "training_images"} for name in results}
    names = [name for name in results if name not in OTHER_IMAGES and not needs[name]]
    assert {"accuracy", "consistency", "deletion", "redundancy"} <= set(names)
    metrics = px.PrototypeMetrics(checkpoint, names, QUICK)
    update(metrics, read_test_images(checkpoint, planted), 3)
    for name, result in metrics.compute().items():
        expected = results[name].score
        numbers = [(one.value, one.low, one.high) for one in (result.score, expected)]
        assert numbers[0] == pytest.approx(numbers[1], abs=1e-4, nan_ok=True), name
        assert result.score.baselines == pytest.approx(expected.baselines, abs=1e-4, nan_ok=True), name


def test_images_alone_suffice_where_nothing_is_annotated(checkpoint):
    names = [name for name in px.list_metrics() if not px.get_metric(name).needs]
    assert len(names) > 8
    metrics, images = px.PrototypeMetrics(checkpoint, names), torch.rand(6, 3, 64, 64)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    metrics.update(images[:4], labels[:4])
    metrics.update(images[4:], labels[4:])
    results = metrics.compute()
    assert list(results) == names
    with torch.no_grad():
        predicted = checkpoint.model()(images).logits.argmax(1)
    assert results["accuracy"].score.value == float((predicted == labels).double().mean())
    metrics.reset()
    metrics.update(images[:1], labels[:1])
    assert metrics.compute()["accuracy"].score.n_used == 1


def test_mistakes_are_explained(checkpoint):
    with pytest.raises(px.UserError, match="unknown metric 'acuracy'"):
        px.PrototypeMetrics(checkpoint, ["acuracy"])
    with pytest.raises(px.UserError, match="funnybirds_overall needs images without parts"):
        px.PrototypeMetrics(checkpoint, ["funnybirds_overall"])
    metrics = px.PrototypeMetrics(checkpoint, ["consistency"], {"half_window": 4})
    with pytest.raises(px.UserError, match="nothing to compute"):
        metrics.compute()
    with pytest.raises(px.UserError, match="shape") as caught:
        metrics.update(torch.rand(2, 3, 32, 32), torch.tensor([0, 1]))
    assert "[n,3,64,64]" in caught.value.fix
    metrics.update(torch.rand(2, 3, 64, 64), torch.tensor([0, 1]))
    with pytest.raises(px.UserError, match="consistency needs part locations"):
        metrics.compute()


def test_the_example_runs(measured, planted):
    """The loop of the documentation, on a small checkpoint."""
    code = next(block for block in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL) if "metrics.update" in block)
    path = re.search(r'Path\("(checkpoints/[^"]+)"\)', code).group(1)
    data = re.search(r'Path\("(data/[^"]+)"\)', code).group(1)
    content, (checkpoint, expected) = {}, measured
    code = code.replace(path, str(checkpoint.path)).replace(data, str(planted))
    exec(compile(code, "docs/metrics.md", "exec"), content)  # noqa: S102 - our own documentation
    for name, result in content["metrics"].compute().items():
        assert result.score.value == pytest.approx(expected[name].score.value, abs=1e-4)
