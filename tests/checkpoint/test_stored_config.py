"""Configurations of checkpoints, also of those that earlier versions wrote."""

import pytest
import yaml

from protoexplain.checkpoint.stored_config import read_config
from protoexplain.config import resolve
from protoexplain.errors import UserError


def stored(path, **groups):
    content = yaml.safe_load(resolve("planted-protopnet").to_yaml())
    for group, values in groups.items():
        content[group] |= values
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_configuration_comes_back_as_it_was_written(tmp_path):
    assert read_config(stored(tmp_path / "config.yaml"), "") == resolve("planted-protopnet")


def test_values_that_only_earlier_versions_trained_with_are_read(tmp_path):
    path = stored(tmp_path / "config.yaml", model={"start": "patches"}, data={"augmentation": "light_noise"})
    config = read_config(path, "")
    assert config.model.start == "random"
    assert config.data.augmentation == "affine_noise"
    assert config.schedule == resolve("planted-protopnet").schedule


@pytest.mark.parametrize("model", [{"start": "anywhere"}, {"start": ["patches"]}, {"pieces": 3}])
def test_what_no_version_knew_is_refused(model, tmp_path):
    with pytest.raises(UserError, match="model"):
        read_config(stored(tmp_path / "config.yaml", model=model), "use another")
