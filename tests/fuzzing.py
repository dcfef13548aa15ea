"""Mutated inputs with fixed seeds: 500 of each kind, or as many as the variable PROTOEXPLAIN_FUZZ says.

    PROTOEXPLAIN_FUZZ=10000 python -m pytest -m fuzz --timeout 7200

Reading what was mutated ends with a result or with an error for the user; any other exception fails the test, and so
does taking more than a gigabyte of memory.
"""

import copy
import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("PROTOEXPLAIN_FUZZ", "500"))
many = settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
"""Decorates what is called with each input."""
TOKENS = (b"nan", b"-1", b"1e999", b"\0", b"\xff", b"../", b"\\", b"\n", b"9" * 40, b'"', b"{", b"[[", b"0", b" ", b",",
          b"null", b"<a>", b"\xf0\x9f\x90\xa6", b"inf", b"true", b": ", b"&a ", b"*a", b"!!x", b"9" * 5000,
          b"[" * 3000, b"2001-99-99", b"0b_", b"'")  # fmt: skip
VALUES = (None, True, False, 0, -1, 1, 10**40, 1.5, -0.5, float("nan"), float("inf"), "", "x", "../x", "\0", "<b>",
          "=1+1", [], [1], ["x"], [None], {}, {"x": 1}, {"": None}, [[]], "true", "1e999", "-1")  # fmt: skip


def changes(most=4):
    """Places as shares of a file, how many bytes go there, and what comes in their place."""
    span = st.sampled_from((0, 0, 1, 1, 3, 40, 10_000))
    inserted = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6))
    return st.lists(st.tuples(st.floats(0, 1), span, inserted), min_size=1, max_size=most)


def changed(content, edits):
    """Bytes after `changes`."""
    for share, span, inserted in edits:
        place = int(share * len(content))
        content = content[:place] + inserted + content[place + span :]
    return content


def leaves(tree, path=()):
    """Paths to all entries of nested tables and lists."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [found for key, value in entries for found in ((*path, key), *leaves(value, (*path, key)))]


@st.composite
def replaced(draw, tree, most=3):
    """A copy of plain data in which some entries are others, or gone, or have a strange neighbour."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, most))):
        places = leaves(tree)
        if not places:
            break
        *above, key = draw(st.sampled_from(places))
        parent = tree
        for step in above:
            parent = parent[step]
        how = draw(st.integers(0, 5))
        if how == 0:
            del parent[key]
        elif how == 1 and isinstance(parent, dict):
            parent[draw(st.sampled_from(("x", "", "names", "=a")))] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        else:
            value = draw(st.one_of(st.sampled_from(VALUES), st.text(max_size=4), st.integers(-3, 300)))
            parent[key] = copy.deepcopy(value)
    return tree


def fuzz(test):
    """Marks a test with mutated inputs."""
    return pytest.mark.fuzz(pytest.mark.usefixtures("bounded_memory")(test))
