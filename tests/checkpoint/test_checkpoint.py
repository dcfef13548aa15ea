"""Checkpoints come back as they were saved, and a full disk leaves the old one."""

import dataclasses
import itertools
import math
import os
import shutil
import stat

import pytest
import torch
import yaml
from saved_checkpoints import CLASSES, DATA, built, records_of, refused, save
from write_steps import contents, killed_at, watch_steps

from protoexplain.checkpoint.checkpoint import Checkpoint, add_metrics
from protoexplain.checkpoint.file_names import ACTIVATIONS, MODEL
from protoexplain.checkpoint.folders import find_checkpoints, shipped_checkpoints
from protoexplain.checkpoint.model_card import escaped
from protoexplain.checkpoint.prototypes import PrototypeRecord, select
from protoexplain.io import atomic
from protoexplain.io.manifest import verify_folder
from protoexplain.models.activation_statistics import ActivationStatistics
from protoexplain.models.registry import family_names, get_family


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    config, model = built("protopnet")
    return save(tmp_path_factory.mktemp("saved") / "best", config, model).path


@pytest.mark.parametrize("family", family_names())
def test_round_trip_is_exact(family, tmp_path):
    config, model = built(family)
    save(tmp_path / "best", config, model)
    checkpoint = Checkpoint.load(tmp_path / "best")
    again = checkpoint.model()
    assert checkpoint.config == config
    assert (checkpoint.classes, checkpoint.data) == (CLASSES, DATA)
    assert checkpoint.prototypes == records_of(model)
    assert checkpoint.metrics["test_accuracy"] == 0.75
    assert checkpoint.metrics["nothing"] is None
    assert checkpoint.versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert checkpoint.picture(1, "patch") == b"picture of patch-1.jpg"
    assert checkpoint.picture(1, "source") == b"picture of image-0.jpg"
    assert {n: t.shape for n, t in checkpoint.before_projection().items()} == {
        n: b.prototypes.shape for n, b in model.named_branches()
    }
    assert not again.training
    expected = model.state_dict()
    assert list(again.state_dict()) == list(expected)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.state_dict().items())
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(again(images).logits, model(images).logits)


def statistics_of(model):
    generator = torch.Generator().manual_seed(1)
    return ActivationStatistics(*(torch.rand(model.num_prototypes, generator=generator) for _ in range(3)))


@pytest.mark.parametrize("family", ["st_protopnet", "prototypedl", "cbc"])
def test_what_the_training_images_give_comes_back(family, tmp_path):
    config, model = built(family)
    old = save(tmp_path / "old", config, model)
    assert old.model().statistics is None
    assert not (old.path / ACTIVATIONS).exists()
    known = statistics_of(model)
    model.set_statistics(known)
    again = save(tmp_path / "new", config, model).model()
    assert {name: values.tolist() for name, values in vars(again.statistics).items()} == {
        name: values.tolist() for name, values in vars(known).items()
    }
    assert again.evidence_kind == model.evidence_kind
    assert torch.equal(again.baseline_activations(), model.baseline_activations())
    if family != "prototypedl":
        assert (tmp_path / "old" / MODEL).read_bytes() == (tmp_path / "new" / MODEL).read_bytes()


@pytest.mark.parametrize("family", family_names())
def test_pruned_round_trip(family, tmp_path):
    config, model = built(family)
    records, kept = records_of(model), [0, *range(2, model.num_prototypes)]
    model.select(torch.tensor(kept))
    checkpoint = save(tmp_path / "best", config, model, select(records, kept))
    again = checkpoint.model()
    assert [record.original_index for record in checkpoint.prototypes] == kept
    assert checkpoint.prototypes[1].patch == "patch-2.jpg"
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(images).logits, model(images).logits)


def test_loading_leaves_random_numbers_alone(saved):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    Checkpoint.load(saved).model()
    assert torch.equal(torch.rand(3), expected)


def test_prototype_without_image_has_no_picture(tmp_path):
    config, model = built("protopnet")
    lost = PrototypeRecord(0, "main", 0, original_index=0)
    checkpoint = save(tmp_path / "best", config, model, (lost, *records_of(model)[1:]))
    assert checkpoint.prototypes[0] == lost
    assert checkpoint.picture(0, "patch") is None


def test_model_that_was_never_projected_has_no_proof(tmp_path):
    config, model = built("protopnet")
    checkpoint = save(tmp_path / "best", config, model, before_projection={})
    assert not (checkpoint.path / "proof.safetensors").exists()
    assert checkpoint.before_projection() == {}


def test_proof_comes_in_the_order_of_the_branches(tmp_path):
    config, model = built("st_protopnet")
    checkpoint = save(tmp_path / "best", config, model)
    assert list(checkpoint.before_projection()) == ["trivial", "support"]
    for name, branch in model.named_branches():
        assert torch.equal(checkpoint.before_projection()[name], branch.prototypes + 1)


def test_files_and_permissions(tmp_path):
    config, model = built("protopnet")
    old = os.umask(0o022)
    try:
        path = save(tmp_path / "best", config, model).path
    finally:
        os.umask(old)
    names = {"MANIFEST.json", "README.md", "config.yaml", "metrics.json", "model.safetensors", "proof.safetensors"}
    assert {entry.name for entry in path.iterdir()} == names | {"prototypes.json", "thumbs"}
    for entry in [path, *path.rglob("*")]:
        assert stat.S_IMODE(entry.stat().st_mode) == (0o755 if entry.is_dir() else 0o644), entry


def test_checkpoint_is_named_by_its_contents(tmp_path):
    config, model = built("protopnet")
    first, same = (save(tmp_path / name, config, model) for name in "ab")
    other = save(tmp_path / "c", *built("protopnet", seed=1))
    assert first.sha256 == same.sha256 != other.sha256


def test_existing_checkpoint_is_never_replaced(tmp_path):
    first = save(tmp_path / "best", *built("protopnet"))
    before = contents(tmp_path)
    assert "already" in refused(lambda: save(tmp_path / "best", *built("protopnet", seed=1)))
    assert Checkpoint.load(str(tmp_path / "best")).sha256 == first.sha256
    assert contents(tmp_path) == before


def test_readers_find_no_checkpoint_or_a_whole_one_while_it_is_saved(tmp_path, monkeypatch):
    config, model = built("protopnet")
    found = set()

    def look():
        there = find_checkpoints(tmp_path)
        found.add(tuple(Checkpoint.load(path).path.name for path in there))

    watch_steps(monkeypatch, look)
    save(tmp_path / "best", config, model)
    assert found == {(), ("best",)}


def test_killed_while_saving(tmp_path):
    """At any step: what is found is whole, what is unfinished is not found, and the same name can be written again."""
    config, model = built("protopnet")
    for n in range(1, 4):
        with killed_at(n) as death:
            save(tmp_path / str(n), config, model)
        assert death
        assert [Checkpoint.load(path).path.name for path in find_checkpoints(tmp_path)] == [str(i) for i in range(1, n)]
        save(tmp_path / str(n), config, model)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == [str(i) for i in range(1, n + 1)]


def test_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    first = save(tmp_path / "best", *built("protopnet"))
    count = len(verify_folder(tmp_path / "best").files) + 1
    for n in range(1, count + 1):
        monkeypatch.setattr(atomic, "_writes", itertools.count(1))
        monkeypatch.setenv("PROTOEXPLAIN_FAULT", f"write:{n}")
        assert "disk is full" in refused(lambda: save(tmp_path / "last", *built("protopnet", seed=1)))
        assert Checkpoint.load(tmp_path / "best").sha256 == first.sha256
        assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


def test_too_few_records_are_a_mistake_of_the_program(tmp_path):
    config, model = built("protopnet")
    with pytest.raises(ValueError, match="as many records"):
        save(tmp_path / "best", config, model, records_of(model)[:-1])


def test_configuration_in_the_folder_is_plain_yaml(saved):
    assert yaml.safe_load((saved / "config.yaml").read_text())["data"]["image_size"] == 64


def test_model_card_tells_what_it_is_and_how_to_make_it(saved):
    card = (saved / "README.md").read_text()
    family = get_family("protopnet")
    assert card.startswith(f"# {family.title} on Birds\n")
    for piece in (
        "Chen et al. 2019",
        "Wren, Robin",
        "| test\\_accuracy | 0.75 |",
        "    protoexplain train --preset tiny\n",
    ):
        assert piece in card
    assert "| stage | test\\_before |" in card
    assert "4 equal a training patch" in card


def test_model_card_shows_nested_metrics_rows_and_sentences(tmp_path):
    config, model = built("protopnet")
    metrics = {
        "a": {"b": 0.123456},
        "seconds": 12345.678,
        "rows": [{"x": 1}, {"y": None}],
        "findings": ["one", "two"],
        "none": [],
    }
    card = (save(tmp_path / "best", config, model, metrics=metrics).path / "README.md").read_text()
    assert "| a.b | 0.1235 |" in card
    assert "| seconds | 12345.7 |" in card
    assert "### rows\n\n| x | y |\n| --- | --- |\n| 1 |  |\n|  |  |" in card
    assert "### findings\n\n- one\n- two\n" in card
    assert "none" not in card


def test_model_card_shows_foreign_text_as_text(tmp_path):
    config, model = built("protopnet")
    bad = "<script>alert(1)</script> [x](javascript:y) `a`\n# Title | *b*"
    save(
        tmp_path / "best",
        config.model_copy(update={"about": bad}),
        model,
        classes=(bad, "b"),
        data=dataclasses.replace(DATA, name=bad),
        metrics={bad: bad, "rows": [{bad: bad}], "list": [bad]},
        command=f"train {bad}",
    )
    card = (tmp_path / "best" / "README.md").read_text()
    prose = "\n".join(line for line in card.splitlines() if not line.startswith("    "))
    assert "<script>" not in prose
    assert "](" not in prose.replace("\\](", "")
    assert "\n# Title" not in card
    assert prose.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 9
    assert [line for line in card.splitlines() if line.startswith("    ")] == [f"    train {' '.join(bad.split())}"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a_b*c", r"a\_b\*c"),
        ("a|b", r"a\|b"),
        ("a & b", "a &amp; b"),
        ("www.x.org", r"www\.x.org"),
        ("1.5: a", "1.5: a"),
        ("http://x", r"http\://x"),
    ],
)
def test_escaping(text, shown):
    assert escaped(text) == shown


def test_checkpoints_are_found_in_runs(saved, tmp_path):
    for place in (
        "a/best",
        "a/last",
        "b",
        "c.tmp-1/x",
        "d/best.tmp-77",
        "d/best.tmp-77-0a1b",
        "e/best.old-77",
        "1/2/3",
    ):
        shutil.copytree(saved, tmp_path / "runs" / place)
    (tmp_path / "runs" / "empty").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in find_checkpoints(tmp_path / "runs")]
    assert found == ["runs/a/best", "runs/a/last", "runs/b", "runs/c.tmp-1/x", "runs/e/best.old-77"]
    assert find_checkpoints(saved) == [saved]
    assert find_checkpoints(tmp_path / "nowhere") == []


def test_shipped_checkpoints_lie_beside_the_package():
    assert shipped_checkpoints().name == "checkpoints"
    assert (shipped_checkpoints().parent / "pyproject.toml").is_file()


def test_added_metrics_leave_all_else_alone(saved, tmp_path):
    path = tmp_path / "best"
    shutil.copytree(saved, path)
    before, content = Checkpoint.load(path), contents(path)
    add_metrics(path, {"interpretability": {"consistency": {"value": 40.0, "low": 30.0, "high": math.nan}}})
    after = add_metrics(path, {"interpretability": {"purity": {"value": 0.5}}, "characteristics": {"hue": [1.0]}})
    assert set(after.metrics["interpretability"]) == {"consistency", "purity"}
    assert after.metrics["interpretability"]["consistency"]["high"] is None
    assert {name: after.metrics[name] for name in before.metrics} == before.metrics
    assert after.weights_sha256 == before.weights_sha256
    assert after.sha256 == before.sha256
    assert after.prototypes == before.prototypes
    card = (path / "measurements" / "README.md").read_text()
    assert "| consistency | 40 | 30 |  |" in card
    assert "characteristics" not in card
    assert Checkpoint.load(path) == after
    later = contents(path)
    assert {name: later[name] for name in content} == content
    assert {name.parts[0] for name in later.keys() - content.keys()} == {"measurements"}
