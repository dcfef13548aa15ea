"""What the folder of a run remembers."""

import pytest
from tiny_runs import tiny_config

from protoexplain.data.read import read_image_set
from protoexplain.errors import UserError
from protoexplain.training.run_folder import (
    CONFIG,
    DATA,
    data_of_run,
    described,
    remembered,
    require_same_data,
    settings_to_go_on,
)


@pytest.fixture
def run(tmp_path):
    data = tmp_path / "my pictures"
    data.mkdir()
    run = tmp_path / "run"
    run.mkdir()
    (run / CONFIG).write_text(remembered(tiny_config("protopnet"), data))
    return run


def test_the_data_are_found_again_while_they_are_there(run, tmp_path):
    assert data_of_run(run) == tmp_path / "my pictures"
    (tmp_path / "my pictures").rmdir()
    assert data_of_run(run) is None
    assert data_of_run(tmp_path) is None


def test_the_same_settings_are_taken_wherever_the_data_are(run, tmp_path):
    config = tiny_config("protopnet")
    assert settings_to_go_on(run, config) == config
    elsewhere = config.data.model_copy(update={"path": "elsewhere", "workers": 3})
    moved = config.model_copy(update={"data": elsewhere})
    assert settings_to_go_on(run, moved) == moved
    assert settings_to_go_on(tmp_path, config) == config


def test_what_a_run_decided_stays_where_nothing_else_is_given(run, tmp_path):
    decided = tiny_config("protopnet", training={"threads": 3})
    (run / CONFIG).write_text(remembered(decided, tmp_path))
    assert settings_to_go_on(run, tiny_config("protopnet", training={"threads": None})) == decided
    assert settings_to_go_on(run, decided) == decided
    with pytest.raises(UserError, match=r"training.threads was 3 and is 2"):
        settings_to_go_on(run, tiny_config("protopnet", training={"threads": 2}))


def test_other_settings_are_refused_by_key_with_both_values(run):
    config = tiny_config("protopnet")
    training = config.training.model_copy(update={"seed": 77, "devices": 4})
    data = config.data.model_copy(update={"image_size": 128})
    with pytest.raises(UserError, match="changed since the run was interrupted") as refused:
        settings_to_go_on(run, config.model_copy(update={"training": training, "data": data}))
    assert f"training.seed was {config.training.seed} and is 77" in refused.value.what
    assert f"data.image_size was {config.data.image_size} and is 128" in refused.value.what
    assert "training.devices was 1 and is 4" in refused.value.what
    assert "schedule" not in refused.value.what


def test_other_data_are_refused_with_both_values(run, class_folders):
    before = read_image_set(class_folders)
    require_same_data(run, before)
    (run / DATA).write_text(described(before))
    require_same_data(run, before)
    (class_folders / "daisy" / "0.png").unlink()
    with pytest.raises(UserError, match=r"data.images was 17 and is 16") as refused:
        require_same_data(run, read_image_set(class_folders))
    assert f"data.fingerprint was {before.fingerprint()[:12]}... and is" in refused.value.what
    assert "data.classes" not in refused.value.what
