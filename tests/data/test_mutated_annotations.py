"""Whatever is in the annotation files of a layout, reading ends with images or with an error for the user."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protoexplain.data.read import read_image_set, source_names
from protoexplain.errors import UserError

TREES = {"cub": "cub", "cars": "cars", "dogs": "dogs", "funnybirds": "funny_birds", "table": "listed_pictures"}
PICTURES = {".png", ".jpg"}
TOKENS = (b"nan", b"-1", b"1e999", b"\0", b"\xff", b"../", b"\\", b"\n", b"9" * 40, b'"', b"{", b"[[", b"0", b" ", b",",
          b"null", b"<a>", b"\xf0\x9f\x90\xa6", b"inf", b"true")  # fmt: skip


def changes():
    """Places as shares of a file, how many bytes go there, and what comes in their place."""
    span = st.sampled_from((0, 0, 1, 1, 3, 40, 10_000))
    inserted = st.one_of(st.sampled_from(TOKENS), st.binary(max_size=6))
    return st.lists(st.tuples(st.floats(0, 1), span, inserted), min_size=1, max_size=4)


def changed(content, edits):
    for share, span, inserted in edits:
        place = int(share * len(content))
        content = content[:place] + inserted + content[place + span :]
    return content


@pytest.mark.parametrize("name", sorted(TREES))
def test_only_errors_for_the_user(name, request):
    tree = request.getfixturevalue(TREES[name])
    root = tree if isinstance(tree, Path) else tree.root
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix.lower() not in PICTURES)
    originals = {path: path.read_bytes() for path in files}

    @settings(max_examples=80, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(files), changes())
    def survives(path, edits):
        path.write_bytes(changed(originals[path], edits))
        try:
            found = read_image_set(root, name)
        except UserError:
            pass
        else:
            assert all(0 <= record.label < len(found.classes) for record in found.records)
            assert all(record.box is None or record.box.area > 0 for record in found.records)
            assert found.fingerprint()
        finally:
            path.write_bytes(originals[path])

    survives()


def test_every_layout_with_annotations_is_tried():
    assert {*TREES, "folder"} == set(source_names())
