"""Models that are opened for editing."""

import pytest
from decided import WRITING
from tiny_runs import tiny_train

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.editing.preview import open_preview


@pytest.fixture(scope="session")
def preview_of(planted, tiny_checkpoint, tmp_path_factory):
    """family -> its checkpoint on its data, made once."""
    folder, kept = tmp_path_factory.mktemp("editing"), {}

    def opened(family):
        if family not in kept:
            if family in WRITING:
                checkpoint = tiny_train(family, planted, folder / family, model={"prototypes_per_class": 3}).checkpoint
            else:
                checkpoint = Checkpoint.load(tiny_checkpoint(family))
            kept[family] = open_preview(checkpoint, planted)
        return kept[family]

    return opened
