"""Tabs are found by the names of their files, and nothing but tabs needs a web framework."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from app import tabs
from app.tab import find_tabs


def test_each_file_is_a_tab_of_its_name():
    found = find_tabs()
    files = {path.stem for path in Path(tabs.__path__[0]).glob("*.py")} - {"__init__"}
    assert {tab.name for tab in found} == files
    assert [tab.order for tab in found] == sorted(tab.order for tab in found)
    assert len({tab.title for tab in found}) == len(found)


def test_actions_and_views_need_no_web_framework():
    code = """
import importlib, pkgutil, sys
import app.actions, app.views
for package in (app.actions, app.views):
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
print([m for m in ("gradio", "fastapi") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
