"""A configuration comes from a preset, or from a file that may extend one, and from assignments on top."""

from contextlib import suppress

import pytest
from fuzzing import changed, changes, fuzz, many, replaced
from hypothesis import given
from hypothesis import strategies as st

from protoexplain.config import RunConfig, parse, preset_names, read_preset, resolve
from protoexplain.errors import UserError
from protoexplain.training.schedule import stages_of


def test_a_preset_and_a_file_that_extends_it(tmp_path, monkeypatch):
    preset = resolve("planted-protopnet")
    assert preset.training.seed == 0
    file = tmp_path / "mine.yaml"
    file.write_text("extends: planted-protopnet\ntraining: {seed: 5}\n")
    for source in (file, str(file)):
        changed = resolve(source, ["data.image_size=64"])
        assert (changed.training.seed, changed.data.image_size) == (5, 64)
        assert changed.schedule == preset.schedule
    (tmp_path / "planted-protopnet").write_text("family: pipnet\n")
    (tmp_path / "other").write_text("family: pipnet\n")
    monkeypatch.chdir(tmp_path)
    assert resolve("planted-protopnet") == preset, "a file does not hide a preset"
    assert resolve("other").family == "pipnet", "a file needs no ending"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("planted-protopnt", r"(?s)neither a preset nor a file.*did you mean 'planted-protopnet'"),
        ("missing.yaml", "no configuration file missing.yaml"),
        (".", "neither a preset nor a file"),
    ],
)
def test_what_is_neither_is_refused(source, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        resolve(source)


def test_an_unknown_preset_to_extend_is_refused(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: planted-protopnt\n")
    with pytest.raises(UserError, match=r"(?s)unknown preset 'planted-protopnt'.*did you mean 'planted-protopnet'"):
        resolve(file)


@pytest.mark.parametrize(
    "assignment",
    ["schedule.pretrain_batch_size=0", "schedule.lr=-1", "schedule.lr=.inf", "schedule.decay.gamma=.nan",
     "training.epochs=1000000000000", "training.seed=4294967296",
     "schedule.decay.epochs=[1, 1000000000000]", "training.threads=1000000"],
)  # fmt: skip
def test_values_that_no_training_can_use_are_refused_by_key(assignment):
    with pytest.raises(UserError, match=rf"^{assignment.partition('=')[0]}: input should be"):
        resolve("cars-cbc-convnext", [assignment])


@pytest.mark.parametrize("text", ["data: {}\nfamily: cbc\ndata: {}\n", "data: {image_size: 64, data: 1, data: 2}\n"])
def test_a_key_that_comes_twice_is_refused(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match="the key 'data' comes twice in a table"):
        resolve(tmp_path / "a.yaml")


def test_whole_numbers_of_thousands_of_digits_are_refused():
    for digits in ("0x" + "F" * 5000, "9" * 5000):
        with pytest.raises(UserError, match=r"not a plain YAML file: a whole number of 500\d characters"):
            resolve("cars-cbc-convnext", [f"training.batch_size={digits}"])


PRESETS = [parse(read_preset(name)).model_dump(mode="json") for name in preset_names()]


@fuzz
@many
@given(st.data())
def test_mutated_values_are_a_configuration_or_an_error(data):
    raw = data.draw(st.sampled_from(PRESETS).flatmap(replaced))
    with suppress(UserError):
        config = parse(raw)
        assert stages_of(config)
        assert isinstance(config.to_yaml(), str)


@fuzz
@many
@given(st.sampled_from(preset_names()), changes())
def test_mutated_files_are_a_configuration_or_an_error(tmp_path_factory, name, edits):
    file = tmp_path_factory.getbasetemp() / "mutated.yaml"
    file.write_bytes(changed(f"extends: {name}\n{FILE}".encode(), edits))
    with suppress(UserError):
        assert isinstance(resolve(file), RunConfig)


FILE = """about: mine
model:
  backbone: {name: resnet18, stride: 16}
data: {image_size: 64, validation: 0.2}
training:
  seed: 5
  fine_tuning: {epochs: 2}
"""
