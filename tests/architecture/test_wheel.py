"""What `pip install protoexplain` puts beside the packages of others."""

import configparser
import importlib
import zipfile

import pytest
from hatchling.build import build_wheel
from test_rules import ROOT, TEXTS


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        with zipfile.ZipFile(folder / build_wheel(str(folder))) as archive:
            yield archive


def test_all_of_it_lies_in_packages_of_our_name(wheel):
    names = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == {"protoexplain", "protoexplain_app"}
    assert {name.removeprefix("app/") for name in TEXTS} <= set(wheel.namelist())


def test_commands_and_the_app_are_found_in_it(wheel):
    points = configparser.ConfigParser()
    (listed,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    points.read_string(wheel.read(listed).decode())
    for group in ("console_scripts", "protoexplain.app"):
        for target in points[group].values():
            module, function = target.split(":")
            assert f"{module.replace('.', '/')}.py" in wheel.namelist()
            assert callable(getattr(importlib.import_module(module), function))
