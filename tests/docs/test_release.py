"""What is written down once for each release says the same everywhere."""

from __future__ import annotations

import re
import tomllib

import yaml
from docs.pages import ROOT

import protoexplain

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_one_version():
    cited = yaml.safe_load((ROOT / "docs" / "CITATION.cff").read_text(encoding="utf-8"))
    told = re.findall(r"^## (\S+)", (ROOT / "docs" / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {protoexplain.__version__, PROJECT["version"], cited["version"], told[0]} == {protoexplain.__version__}
    assert cited["license"] == PROJECT["license"]


def test_licences_of_all_dependencies_are_listed():
    """After a new one: python docs/licences.py"""
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| ([a-z0-9-]+) \|", page, re.MULTILINE)
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["heic"], *extras["export"]]
    needed = {re.split(r"[^\w.-]", one)[0].lower() for one in wanted}
    assert needed - set(listed) == set()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200
