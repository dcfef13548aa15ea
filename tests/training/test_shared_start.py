"""Pools and trees start from the means of parts."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import open_run, pictures, same_tensors, tiny_config, tiny_train

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.errors import UserError
from protoexplain.models.trees import arrivals, pre_order
from protoexplain.training import shared_start
from protoexplain.training.callbacks import Interrupted
from protoexplain.training.initial import start
from protoexplain.training.part_start import fit_teacher, parts_of_images
from protoexplain.training.shared_start import class_part_means
from protoexplain.training.stage_models import models_of
from protoexplain.training.tree_growth import grow

EMBEDDED = {"start": "parts", "feature_norm": True, "prototype_channels": 64}
FIRST = {"fine_tuning": {"epochs": 1, "parts": 2}}


def test_a_grown_tree_asks_first_for_what_tells_most():
    labels = torch.arange(4).repeat_interleave(3)
    useless = torch.full((12,), 0.5)
    half, rest = 0.99 * (labels >= 2).float() + 0.005, 0.98 * (labels % 2).float() + 0.01
    tree = grow(torch.stack([useless, rest, half], 1), labels, classes=4, depth=2)
    assert tree.chosen.tolist() == [2, 1, 1]
    torch.testing.assert_close(tree.counts.argmax(1), torch.arange(4))
    torch.testing.assert_close(tree.counts.sum(0), torch.full((4,), 3.0))
    assert tree.likelihood > grow(useless[:, None], labels, classes=4, depth=2).likelihood


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(4, 7))
def test_nothing_is_asked_for_twice_on_one_way_and_every_image_is_counted(seed, depth, things):
    generator = torch.Generator().manual_seed(seed)
    found = torch.rand(9, things, generator=generator)
    tree = grow(found, torch.arange(9) % 3, classes=3, depth=depth)
    for leaf in range(2**depth):
        way = [2**level - 1 + (leaf >> (depth - level)) for level in range(depth)]
        assert len({int(tree.chosen[node]) for node in way}) == depth
    torch.testing.assert_close(tree.counts.sum(), torch.tensor(9.0))


def test_means_are_of_the_images_that_show_the_part():
    shown = torch.arange(12.0).view(3, 2, 2)
    shown[0, 1] = shown[2, 1] = torch.nan
    means = class_part_means(shown, torch.tensor([0, 0, 1]), classes=2)
    assert means[0].tolist() == [[2.0, 3.0], [6.0, 7.0]]
    assert means[1].tolist() == [[8.0, 9.0], [6.0, 7.0]], "no image of class 1 shows part 1"


def started(family, planted, scratch, **model):
    """A run with first values, what looked for the parts, and the means of the parts that tell classes."""
    config = tiny_config(family, model={**EMBEDDED, **model}, training=FIRST)
    run = open_run(config, planted, scratch)
    first = models_of(config, run.model)[0].eval()
    fit_teacher(run, first.teacher)
    start(run, first)
    shown = parts_of_images(run, first)
    labels = torch.tensor([record.label for record in run.data.train])
    tells = first.teacher.tells if first.teacher.tells.any() else ~first.teacher.tells
    return run, class_part_means(shown, labels, run.model.classes)[:, tells]


@torch.no_grad()
def test_a_tree_starts_with_what_it_was_grown_over(planted, tmp_path):
    run, _ = started("prototree", planted, tmp_path, depth=3)
    ((_, branch),) = run.model.eval().named_branches()
    assert torch.equal(branch.head.rows, pre_order(3))
    images, labels = pictures(run)
    right = branch.head.right(run.model.activations(run.model.backbone(images)))
    counts = arrivals(right)[-1].T @ F.one_hot(labels, run.model.classes).float()
    torch.testing.assert_close(branch.head.counts, counts, rtol=1e-3, atol=1e-3)


def test_slots_of_a_class_choose_the_groups_of_its_parts(planted, tmp_path):
    run, means = started("protopool", planted, tmp_path, prototypes=8, slots=2)
    ((_, branch),) = run.model.named_branches()
    chosen, parts = branch.head.chosen(), means.shape[1]
    for label in range(run.model.classes):
        for part in range(min(2, parts)):
            prototype = branch.prototypes.detach()[chosen[label, part]].flatten()
            torch.testing.assert_close(prototype, (means / means.std())[label, part].sigmoid(), rtol=1e-4, atol=1e-5)


def test_parts_that_no_image_shows_start_nothing(planted, tmp_path, monkeypatch):
    def some(run, first):
        shown = parts_of_images(run, first)
        shown[:, 0] = torch.nan
        return shown

    monkeypatch.setattr(shared_start, "parts_of_images", some)
    run, means = started("protopool", planted, tmp_path, prototypes=8, slots=2)
    ((_, branch),) = run.model.named_branches()
    assert branch.prototypes.isfinite().all()
    chosen = branch.head.chosen()[:, 0]
    other = means[:, -1] / means[:, -1].std()
    written = branch.prototypes.detach().flatten(1)[chosen]
    torch.testing.assert_close(written, other.sigmoid(), rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(shared_start, "parts_of_images", lambda *_: torch.full((len(run.data.train), 2, 64), torch.nan))
    with pytest.raises(UserError, match="no training image shows a part"):
        start(run, models_of(run.config, run.model)[0])


@pytest.mark.parametrize("family", ["prototree", "protopool"])
def test_trained_to_the_end_and_taken_up_again(family, planted, tmp_path):
    """The object gate is on, prototypes that fire together are merged, and the first try ends in the first stage."""
    schedule = {"prototree": {"lr_lower": 0, "lr_backbone": 0}, "protopool": {"mixup": False, "projections": [0]}}
    changes = {
        "model": {**EMBEDDED, "object_gate": True},
        "training": {**FIRST, "merge": 0.95, "project_on_object": True},
        "schedule": {"warm_epochs": 1, **schedule[family]},
    }
    stop = iter([False] * 3)
    with pytest.raises(Interrupted):
        tiny_train(family, planted, tmp_path / "run", options={"interrupted": lambda: next(stop, True)}, **changes)
    tiny_train(family, planted, tmp_path / "run", options={"resume": True}, **changes)
    tiny_train(family, planted, tmp_path / "whole", **changes)
    found, whole = (Checkpoint.load(tmp_path / name / "best") for name in ("run", "whole"))
    assert same_tensors(found.model().state_dict(), whole.model().state_dict())
    assert found.prototypes == whole.prototypes
