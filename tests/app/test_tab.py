"""Tabs are found by the names of their files, and nothing but tabs needs a web framework."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from app import tabs
from app.tab import find_tabs


def test_each_folder_is_a_tab_of_its_name():
    found = find_tabs()
    files = {path.parent.name for path in Path(tabs.__path__[0]).glob("*/tab.py")}
    assert {tab.name for tab in found} == files
    assert [tab.order for tab in found] == sorted(tab.order for tab in found)
    assert len({tab.title for tab in found}) == len(found)


def test_actions_and_views_need_no_web_framework():
    code = """
import importlib, pkgutil, sys
import app.panel, app.tabs
for package in (app.panel, app.tabs):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name.rsplit(".")[-1] not in ("panel", "tab") and not module.ispkg:
            importlib.import_module(module.name)
print([m for m in ("gradio", "fastapi") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
