"""The site is built without a warning, and whoever reads it needs no network."""

from __future__ import annotations

import re
import sys

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from docs import pages

DOCS = pages.ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built in this process, which mostly has imported all that the reference is made of."""
    out = tmp_path_factory.mktemp("site")
    path = list(sys.path)
    try:
        with patch_docutils(str(DOCS)), docutils_namespace():
            builder = Sphinx(DOCS, DOCS, out, out / "read", "html", status=None, warningiserror=True)
            builder.build()
        assert builder.statuscode == 0
    finally:
        sys.path[:] = path
    return out


def test_every_page_is_there(site):
    made = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    assert {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")} <= made


def test_nothing_is_fetched(site):
    fetched = re.compile(r"(?:\bsrc=|<link[^>]*\bhref=|@import|url\()[\"'(\s]*(?:https?:)?//[^\s\"')]+")
    found = [
        f"{path.name}: {match}"
        for path in [*site.rglob("*.html"), *site.rglob("*.css")]
        for match in fetched.findall(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_reference_is_made_from_the_code(site):
    python, keys, commands = (
        (site / "reference" / f"{name}.html").read_text(encoding="utf-8") for name in ("python", "configuration", "cli")
    )
    assert "compared with its SHA-256" in python
    assert "training.fine_tuning.parts" in keys
    assert "Each class gets a prototype of so many parts of the object" in keys
    assert "--random-boxes" in commands
    assert 'id="data-check"' in commands


def test_formulas_need_no_script(site):
    assert "<math" in (site / "concepts.html").read_text(encoding="utf-8")
