"""No link of the documentation leads nowhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from docs import pages


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_links_lead_somewhere(page):
    dead = []
    for link in pages.links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if "://" in link or link.startswith("mailto:"):
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in pages.anchors(target)):
            dead.append(link)
    assert dead == []


def test_every_picture_is_shown():
    shown = {Path(link).name for page in pages.PAGES for link in pages.links(page)}
    pictures = {path.name for path in (pages.ROOT / "docs" / "images").iterdir() if path.suffix in (".png", ".jpg")}
    assert pictures <= shown


def test_notebooks_link_to_what_there_is():
    for path in sorted((pages.ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            assert "://" in link or (path.parent / link).exists(), f"{path.name}: {link}"
