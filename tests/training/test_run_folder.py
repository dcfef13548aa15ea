"""What the folder of a run remembers."""

import pytest
from tiny_runs import tiny_config

from protoexplain.errors import UserError
from protoexplain.training.run_folder import CONFIG, data_of_run, remembered, require_same_settings


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
    require_same_settings(run, config)
    elsewhere = config.data.model_copy(update={"path": "elsewhere", "workers": 3})
    require_same_settings(run, config.model_copy(update={"data": elsewhere}))
    require_same_settings(tmp_path, config)


def test_other_settings_are_refused_by_key_with_both_values(run):
    config = tiny_config("protopnet")
    training = config.training.model_copy(update={"seed": 77})
    data = config.data.model_copy(update={"image_size": 128})
    with pytest.raises(UserError, match="changed since the run was interrupted") as refused:
        require_same_settings(run, config.model_copy(update={"training": training, "data": data}))
    assert f"training.seed was {config.training.seed} and is 77" in refused.value.what
    assert f"data.image_size was {config.data.image_size} and is 128" in refused.value.what
    assert "schedule" not in refused.value.what
