"""Whatever is in the annotation files of a layout, or in the pictures of folders, reading ends with images or with an
error for the user.
"""

from pathlib import Path

import pytest
from fuzzing import changed, changes, fuzz, many
from hypothesis import given
from hypothesis import strategies as st

from protoexplain.data.read import read_image_set, source_names
from protoexplain.errors import UserError

TREES = {"cub": "cub", "cars": "cars", "dogs": "dogs", "funnybirds": "funny_birds", "table": "listed_pictures",
         "folder": "class_folders", "shards": "tar_shards"}  # fmt: skip
PICTURES = {".png", ".jpg"}


@fuzz
@pytest.mark.parametrize("name", sorted(TREES))
def test_only_errors_for_the_user(name, request):
    tree = request.getfixturevalue(TREES[name])
    root = tree if isinstance(tree, Path) else tree.root
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    files = [path for path in files if path.suffix.lower() not in PICTURES] or files
    originals = {path: path.read_bytes() for path in files}

    @many
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


def test_every_layout_is_tried():
    assert set(TREES) == set(source_names())
