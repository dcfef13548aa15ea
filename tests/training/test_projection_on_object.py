"""Prototypes are taken from cells on the object only."""

import pytest
import torch

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import matching_view
from protoexplain.data.geometry import Box
from protoexplain.data.records import ImageRecord
from protoexplain.progress import Silent
from protoexplain.regions.object_cells import cells_on_object
from protoexplain.training.checkpoint_ops import reproject
from protoexplain.training.diagnose import on_background
from protoexplain.training.projection import search
from protoexplain.training.verify import verify
from tests.tiny_runs import tiny_train
from tests.training.small_runs import clean_batches, draw, fresh, run_data


@pytest.mark.parametrize("family", ["protopnet", "st_protopnet"])
def test_only_allowed_cells_are_compared_and_the_map_is_told_whole(family, tmp_path):
    data = run_data(tmp_path)
    config, model = fresh(family)
    free = search(model, clean_batches(data, config))

    def allowed(indices, size):
        mask = torch.zeros(len(indices), *size, dtype=torch.bool)
        mask[:, 1, 2] = True
        return mask

    for found, before in zip(search(model, clean_batches(data, config), allowed=allowed), free, strict=True):
        assert found.found.all()
        assert set(zip(found.row.tolist(), found.column.tolist(), strict=True)) == {(1, 2)}
        torch.testing.assert_close(found.maps[:, 1, 2], found.similarity)
        assert (found.similarity <= before.similarity).all()
        assert found.maps.isfinite().all()


def test_cells_whose_centre_lies_in_the_box(tmp_path):
    draw(tmp_path / "a.png", 0, size=(80, 40))
    image = ImageRecord("a", tmp_path / "a.png", 0, "train", Box(0, 0, 45, 40))
    assert cells_on_object([image], "full", (2, 4)).tolist() == [[[True, True, False, False]] * 2]
    cut = cells_on_object([image], "box", (2, 4))
    assert cut.all()
    between = ImageRecord("a", tmp_path / "a.png", 0, "train", Box(1, 1, 3, 3))
    assert cells_on_object([between], "full", (2, 4)).all()


def test_a_run_its_proof_and_another_projection_keep_to_the_object(planted, tmp_path):
    result = tiny_train("protopnet", planted, tmp_path / "run", training={"project_on_object": True})
    checkpoint = result.checkpoint
    data = matching_view(checkpoint, planted)
    assert on_background(checkpoint.prototypes, data.train, data.crop).prototypes == ()
    assert verify(checkpoint, data).passed
    reproject(result.checkpoint.path, planted, tmp_path / "again", Silent(), "")
    again = Checkpoint.load(tmp_path / "again")
    assert on_background(again.prototypes, data.train, data.crop).prototypes == ()
    assert verify(again, data).passed
