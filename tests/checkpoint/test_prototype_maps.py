"""Activation maps of prototypes are kept exactly, whatever their sizes, and only where they fit the prototypes."""

import pytest
import torch
from saved_checkpoints import built, records_of, save

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.file_names import MAPS
from protoexplain.checkpoint.prototype_maps import read_maps, write_maps
from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.errors import UserError


def record(index, size):
    there = {"image_id": "a.jpg", "map_height": size[0], "map_width": size[1], "row": 0, "column": 0} if size else {}
    return PrototypeRecord(index, "main", 0, original_index=index, **there)


SIZES = [(2, 3), None, (4, 4), (1, 1)]
RECORDS = [record(i, size) for i, size in enumerate(SIZES)]


def test_maps_of_several_sizes_come_back_exactly(tmp_path):
    maps = [None if size is None else torch.rand(size) for size in SIZES]
    write_maps(tmp_path / MAPS, maps)
    for before, after in zip(maps, read_maps(tmp_path / MAPS, RECORDS), strict=True):
        assert (before is None) == (after is None)
        assert before is None or torch.equal(before, after)


def test_unknown_maps_stay_unknown(tmp_path):
    write_maps(tmp_path / MAPS, [None] * len(SIZES))
    assert read_maps(tmp_path / MAPS, RECORDS) == (None,) * len(SIZES)


@pytest.mark.parametrize(
    "maps",
    [
        [torch.rand(2, 3), None, torch.rand(4, 4)],
        [torch.rand(3, 2), None, torch.rand(4, 4), torch.rand(1, 1)],
        [torch.rand(2, 3), torch.rand(2, 2), torch.rand(4, 4), torch.rand(1, 1)],
    ],
    ids=["too few", "another size", "one without image"],
)
def test_maps_of_other_prototypes_are_refused(tmp_path, maps):
    write_maps(tmp_path / MAPS, maps)
    with pytest.raises(UserError, match="does not hold the maps of these 4 prototypes"):
        read_maps(tmp_path / MAPS, RECORDS)


def test_checkpoint_keeps_maps_and_split_or_neither(tmp_path):
    config, model = built("protopnet")
    records = records_of(model)
    maps = [torch.rand(r.map_height, r.map_width) for r in records]
    checkpoint = save(tmp_path / "new", config, model, maps=maps)
    assert all(torch.equal(a, b) for a, b in zip(checkpoint.prototype_maps(), maps, strict=True))
    without = save(tmp_path / "older", config, model)
    assert without.prototype_maps() == (None,) * len(records)
    assert without.split_ids() is None
    (checkpoint.path / MAPS).write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"maps\.safetensors was changed"):
        Checkpoint.load(checkpoint.path)
