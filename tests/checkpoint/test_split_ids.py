"""The table of images in a checkpoint: what was written is read, and nothing else."""

import pytest

from protoexplain.checkpoint.split_ids import SplitIds, parse_split_ids
from protoexplain.errors import UserError

SPLIT = SplitIds(("daisy/1.png", "rosé/2.png"), (), ("daisy/3.png",))


def test_round_trip():
    assert parse_split_ids(SPLIT.to_json(), "here") == SPLIT
    assert SPLIT.part_of == {"daisy/1.png": "train", "rosé/2.png": "train", "daisy/3.png": "test"}


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"train": ["a"], "validation": []}', b'{"train": [1], "validation": [], "test": []}'],
)
def test_what_the_program_does_not_write_is_refused(content):
    with pytest.raises(UserError, match="not a table of images"):
        parse_split_ids(content, "here")


def test_an_image_in_two_parts_is_refused():
    with pytest.raises(UserError, match="named twice"):
        parse_split_ids(SplitIds(("a",), (), ("a",)).to_json(), "here")
