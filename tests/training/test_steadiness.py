"""Prototypes that wander between regions of the object give way to steadier ones of their class."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import open_run, pictures, run_log, tiny_config, tiny_train

from protoexplain.training.initial import start
from protoexplain.training.part_start import start_from_parts
from protoexplain.training.stage_models import models_of
from protoexplain.training.steadiness import NEVER, gives_way, steadiness

PARTS = {"epochs": 1, "parts": 4, "regions": 4}


def parts_of(run):
    """The part classifier of a run, its parts found but not trained."""
    first = models_of(run.config, run.model)[0]
    model, run.model = run.model, first
    start(run, first)
    run.model = model
    return first.eval()


@torch.no_grad()
def test_shares_equal_a_slow_loop(planted, tmp_path):
    run = open_run(
        tiny_config("protopnet", model={"start": "parts"}, training={"fine_tuning": PARTS}), planted, tmp_path
    )
    first = parts_of(run)
    images, labels = pictures(run)
    batches = [(images[part], labels[part], part) for part in torch.arange(len(images)).split(5)]
    found = steadiness(first, batches)
    maps = first.branches["parts"].similarity_maps(first.backbone(images)).flatten(2)
    regions = first.teacher.regions_of(first.teacher.backbone(images)).flatten(2)
    for prototype, label in enumerate(first.ownership.labels.tolist()):
        own = (labels == label).nonzero()[:, 0]
        shares = []
        for division in regions:
            looks = [int(division[image, maps[image, prototype].argmax()]) for image in own]
            shares.append(max(looks.count(region) for region in looks) / len(looks))
        assert float(found[prototype]) == pytest.approx(sum(shares) / len(shares))


SHARES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=20)


@given(SHARES, st.floats(0, 1))
def test_the_steadier_two_thirds_and_whoever_is_steady_stay(prototypes, least):
    shares = torch.tensor([share for share, _ in prototypes], dtype=torch.float64)
    groups = torch.tensor([group for _, group in prototypes])
    into = gives_way(shares, groups, least)
    stay = into == torch.arange(len(into))
    assert torch.equal(groups[into], groups), "classes keep to themselves"
    assert stay[into].all(), "who stays takes the place"
    assert stay[shares >= least].all()
    for group in groups.unique():
        inside = groups == group
        assert stay[inside].sum() >= max(1, 2 * int(inside.sum()) // 3)
        assert shares[inside & stay].max() == shares[inside].max()
        if not stay[inside].all():
            assert shares[inside & stay].min() >= shares[inside & ~stay].max()


@given(st.lists(st.sampled_from([NEVER, 0.3, 0.9]), min_size=1, max_size=8))
def test_those_that_shall_never_stay_go_unless_nobody_else_is_there(shares):
    shares = torch.tensor(shares, dtype=torch.float64)
    stay = gives_way(shares, torch.zeros(len(shares), dtype=torch.int64), 0.5) == torch.arange(len(shares))
    if (shares == NEVER).all():
        assert int(stay.sum()) == 1
    else:
        assert not stay[shares == NEVER].any()
        assert stay[shares == 0.9].all()


@torch.no_grad()
def test_a_part_that_tells_no_class_by_its_own_look_loses_its_prototypes(planted, tmp_path):
    config = tiny_config("protopnet", model={"start": "parts"}, training={"fine_tuning": {**PARTS, "steady": 0.01}})
    run = open_run(config, planted, tmp_path)
    first = parts_of(run)
    each = run.model.num_prototypes // run.model.classes
    first.teacher.tells[1] = False
    start_from_parts(run, first)
    stay = run.state.gives_way == torch.arange(run.model.num_prototypes)
    for label in range(run.model.classes):
        own = (run.model.ownership.labels == label).nonzero()[:, 0]
        assert stay[own].tolist() == [part != 1 for part in range(each)]


@pytest.mark.parametrize("family", ["protopnet", "st_protopnet"])
@torch.no_grad()
def test_each_branch_of_a_class_keeps_its_steadiest_prototypes(family, planted, tmp_path):
    config = tiny_config(family, model={"start": "parts"}, training={"fine_tuning": {**PARTS, "steady": 1.0}})
    run = open_run(config, planted, tmp_path)
    first = parts_of(run)
    images, labels = pictures(run)
    sizes, owners = run.model.branch_sizes(), run.model.ownership.labels
    shares = steadiness(first, [(images, labels, labels)]).view(first.classes, first.parts)
    start_from_parts(run, first)
    run.drop_unsteady()
    half = [size // run.model.classes for size in sizes]
    kept = run.state.merged.unique().tolist()
    assert run.model.num_prototypes == len(kept) < len(owners)
    at = 0
    for branch, (size, each) in enumerate(zip(sizes, half, strict=True)):
        for label in range(run.model.classes):
            rows = [row for row in range(at, at + size) if owners[row] == label]
            own = [(part + branch * each) % first.parts for part in range(each)]
            values = dict(zip(rows, shares[label, sorted(own)].tolist(), strict=True))
            stayed = [row for row in rows if row in kept]
            assert len(stayed) >= (each + 1) // 2
            assert all(values[row] == 1 or values[row] >= max(values.values()) - 1 for row in stayed)
            gone = [row for row in rows if row not in kept]
            assert all(values[row] <= min(values[other] for other in stayed) for row in gone)
        at += size


def test_a_run_drops_them_and_trains_on(planted, tmp_path):
    result = tiny_train(
        "protopnet",
        planted,
        tmp_path / "run",
        model={"start": "parts"},
        training={"fine_tuning": {**PARTS, "steady": 1.0}},
    )
    (row,) = [row for row in run_log(tmp_path / "run") if row.get("stage") == "steady"]
    assert row["prototypes"] < row["prototypes_before"]
    model = result.checkpoint.model()
    assert model.num_prototypes == row["prototypes"] == len(result.checkpoint.prototypes)
    assert model.owned.any(0).all(), "each class has a prototype"
