"""Tabs are found by the names of their files."""

from __future__ import annotations

from pathlib import Path

from protoexplain_app import tabs
from protoexplain_app.tab import find_tabs


def test_each_folder_is_a_tab_of_its_name():
    found = find_tabs()
    files = {path.parent.name for path in Path(tabs.__path__[0]).glob("*/tab.py")}
    assert {tab.name for tab in found} == files
    assert [tab.order for tab in found] == sorted(tab.order for tab in found)
    assert len({tab.title for tab in found}) == len(found)
