"""Whatever is in the files of a checkpoint, reading it ends with a model or with an error for the user."""

import json
from contextlib import suppress

import pytest
import torch
from fuzzing import changed, changes, fuzz, many, replaced
from hypothesis import given
from hypothesis import strategies as st
from saved_checkpoints import built, records_of, reseal, save

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.file_names import OPTIONAL, REQUIRED
from protoexplain.checkpoint.split_ids import SplitIds
from protoexplain.errors import UserError
from protoexplain.io.manifest import MANIFEST
from protoexplain.models.activation_statistics import ActivationStatistics
from protoexplain.models.calibration import Calibration

HEAD = 3000
"""Bytes at the beginning of a file of tensors that are changed: the rest are plain numbers."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With all files that a checkpoint may have."""
    config, model = built("protopnet")
    model.set_statistics(ActivationStatistics(*torch.rand(3, model.num_prototypes)))
    model.calibration = Calibration(1.5, torch.zeros(2, dtype=torch.float64), 10)
    records = records_of(model)
    maps = [torch.rand(record.map_height, record.map_width) for record in records]
    split = SplitIds(("a",), ("b",), ("c",))
    path = save(tmp_path_factory.mktemp("mutated") / "best", config, model, maps=maps, split=split).path
    assert {*REQUIRED, *OPTIONAL} <= {entry.name for entry in path.iterdir()}
    return path


def read(folder):
    """All that is read of a checkpoint."""
    checkpoint = Checkpoint.load(folder)
    checkpoint.model()
    checkpoint.before_projection()
    checkpoint.prototype_maps()
    checkpoint.split_ids()


def read_changed(folder, path, content):
    """Read the checkpoint with another content of one file, sealed as somebody who tampers would."""
    original, seal = path.read_bytes(), (folder / MANIFEST).read_bytes()
    path.write_bytes(content)
    if path.name != MANIFEST:
        reseal(folder)
    try:
        with suppress(UserError):
            read(folder)
    finally:
        path.write_bytes(original)
        (folder / MANIFEST).write_bytes(seal)


@fuzz
def test_only_errors_for_the_user(folder):
    read(folder)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    tables = {path: json.loads(path.read_bytes()) for path in files if path.suffix == ".json"}

    @many
    @given(st.data(), st.sampled_from([*files, *tables]))
    def survives(data, path):
        if path in tables and data.draw(st.booleans()):
            content = json.dumps(data.draw(replaced(tables[path]))).encode()
        else:
            content = path.read_bytes()
            head = HEAD if path.suffix == ".safetensors" else len(content)
            content = changed(content[:head], data.draw(changes())) + content[head:]
        read_changed(folder, path, content)

    survives()
