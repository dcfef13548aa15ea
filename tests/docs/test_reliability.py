"""Every test that the page on reliability names exists, and all cases are there."""

import ast
import re

import pytest

from docs import pages

TESTS = pages.ROOT / "tests"
TEXT = (pages.ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py(?:::\w+)+)`", TEXT)))


def names(body, above=""):
    """Tests and their classes in parsed code, as pytest names them."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield f"{above}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from names(node.body, f"{above}{node.name}::")


@pytest.mark.parametrize("named", NAMED)
def test_named_test_exists(named):
    file, _, test = named.partition("::")
    assert test in names(ast.parse((TESTS / file).read_text(encoding="utf-8")).body)


def test_every_case_is_told_with_its_result():
    rows = [line.split(" | ") for line in TEXT.splitlines() if re.match(r"\| \d+ ", line)]
    assert [int(row[0].strip("| ")) for row in rows] == list(range(1, 52))
    for _, _, tests, result in rows:
        assert result.strip(" |")
        assert "::" in tests or "Not covered" in result
