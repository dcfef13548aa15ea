"""Decisions of a person, and what must hold of each checkpoint that an edit writes."""

import hashlib

from patch_maps import assert_maps_fit
from statistics_of_images import knows_its_images

from protoexplain.data.dataset_view import view_of_run
from protoexplain.editing.decisions import Decision
from protoexplain.models.registry import family_names
from protoexplain.training.verify import verify

FAMILIES = family_names()
WRITING = ["protopnet", "st_protopnet", "evalprotopnet"]
"""Those whose prototypes are projected, so that they can be moved to other patches."""


def removed(*numbers):
    return tuple(Decision(prototype=number, do="remove", reason="background") for number in numbers)


def moved(number, found=None):
    place = {"image": found.image, "row": found.row, "column": found.column} if found else {}
    return Decision(prototype=number, do="reproject", reason="spurious", **place)


def verified(checkpoint, planted):
    found = verify(checkpoint, view_of_run(checkpoint.config.data, planted))
    assert found.passed, found.as_text()
    assert_maps_fit(checkpoint)
    assert checkpoint.split_ids() == view_of_run(checkpoint.config.data, planted).split_ids
    knows_its_images(checkpoint, planted)
    return found


def content(folder):
    return {p.relative_to(folder): hashlib.sha256(p.read_bytes()).digest() for p in folder.rglob("*") if p.is_file()}
