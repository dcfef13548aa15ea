"""Numbers of an evaluation, counted by hand."""

import shutil

import pytest
import torch
from tiny_runs import tiny_train

from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError
from protoexplain.models.base import PrototypeOutput
from protoexplain.planted import draw
from protoexplain.training.evaluate import evaluate


@pytest.fixture(scope="module")
def best(planted, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluate") / "run"
    return tiny_train("cbc", planted, out, schedule={"pretrain_epochs": 0, "joint_epochs": 0}).checkpoint


class Oracle:
    """Predicts a fixed list of labels, whatever it is shown; scores fall with the distance to it."""

    def __init__(self, labels):
        self.labels = iter(labels)

    def __call__(self, images):
        chosen = torch.tensor([next(self.labels) for _ in images])
        return PrototypeOutput(-(torch.arange(4)[None] - chosen[:, None]).abs().float(), {})


def test_counts(best, planted, monkeypatch):
    truth = [record.label for record in read_image_set(planted).split("test")]
    assert truth == [0, 0, 1, 1, 2, 2, 3, 3]
    monkeypatch.setattr(type(best), "model", lambda self, device: Oracle([0, 0, 1, 0, 0, 1, 3, 3]))
    told = []

    class Watcher:
        def progress(self, what, done, total):
            told.append((done, total))

    result = evaluate(best, planted, Watcher())
    names = read_image_set(planted).classes
    assert result.images == 8
    assert result.accuracy == 5 / 8
    assert result.balanced == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert result.top5 == 1.0
    assert result.by_class == dict(zip(names, [1.0, 0.5, 0.0, 1.0], strict=True))
    assert sorted(result.confusions) == sorted(
        [(names[1], names[0], 1), (names[2], names[0], 1), (names[2], names[1], 1)]
    )
    assert told[-1] == (8, 8)
    text = result.as_text()
    assert "62.5%" in text
    assert f"1 x {names[1]} taken for {names[0]}" in text


def test_agrees_with_training(best, planted):
    assert evaluate(best.path, planted).accuracy == best.metrics["test_accuracy"]


def test_unreadable_test_image_is_told(best, planted, tmp_path):
    root = shutil.copytree(planted, tmp_path / "birds")
    victim = read_image_set(root).split("test")[0].path
    victim.write_bytes(b"")
    result = evaluate(best, root)
    assert result.images == 7
    assert len(result.problems) == 1
    assert victim.name in result.as_text()


def test_other_classes_are_refused(best, tmp_path):
    draw(tmp_path / "two", classes=2, train_per_class=1, test_per_class=1, size=32)
    with pytest.raises(UserError, match="2 classes, the model 4"):
        evaluate(best, tmp_path / "two")
