"""The patches that are offered for a prototype that is moved."""

import pytest
from decided import moved

from protoexplain.editing.candidates import box_of, candidate_at, candidates
from protoexplain.editing.carry_out import carry_out
from protoexplain.editing.preview import TRAIN
from protoexplain.errors import UserError


def test_they_are_what_a_plain_search_finds(preview_of):
    made = preview_of("protopnet")
    record = made.checkpoint.prototypes[0]
    looks, learned = made.features[TRAIN], made.learned(0)
    taken = {(r.image_id, r.row, r.column) for r in made.checkpoint.prototypes if r.label == record.label and r.index}
    found = []
    for place, image in enumerate(looks.images):
        if image.label != record.label:
            continue
        z = looks.latents["main"][place]
        beside = made.beside(place, *z.shape[1:])
        best = None
        for row in range(z.shape[1]):
            for column in range(z.shape[2]):
                near = abs(row - record.row) <= 1 and abs(column - record.column) <= 1
                if (image.id == record.image_id and near) or (image.id, row, column) in taken:
                    continue
                if beside is not None and beside[row, column]:
                    continue
                distance = float((z[:, row, column] - learned[0, :, 0, 0]).square().sum())
                if best is None or distance < best[0]:
                    best = (distance, image.id, row, column)
        if best:
            found.append(best)
    told = [(each.image, each.row, each.column) for each in candidates(made, 0, k=99)]
    assert told == [tuple(place) for _, *place in sorted(found)]
    assert len(told) > 1


def test_the_place_of_a_moved_prototype_is_taken_and_that_of_a_removed_one_is_free(preview_of):
    made = preview_of("protopnet")
    first = candidates(made, 0)[0]
    places = {(s.image, s.row, s.column) for s in candidates(made, 1, (moved(0, first),), k=99)}
    assert (first.image, first.row, first.column) not in places
    both = carry_out(made, (moved(0), moved(1))).decisions
    assert both[0].place is not None
    assert both[0].place != both[1].place


def test_nothing_beside_the_object_is_offered(preview_of):
    made = preview_of("protopnet")
    told = [(made.beside(s.place, *s.map.shape), s) for s in candidates(made, 0, k=99)]
    assert all(beside is not None for beside, _ in told), "the planted birds have masks"
    assert not any(bool(beside[s.row, s.column]) for beside, s in told)


def test_box_lies_in_the_picture(preview_of):
    made = preview_of("protopnet")
    box = box_of(made, 0, candidates(made, 0)[0])
    assert 0 <= box.x0 < box.x1 <= 64
    assert 0 <= box.y0 < box.y1 <= 64


def test_refusals(preview_of):
    made = preview_of("protopnet")
    other = next(i for i, image in enumerate(made.features[TRAIN].images) if image.label == 2)
    for place, row, column, words in ((other, 0, 0, "belongs to"), (999, 0, 0, "number 999"), (0, 99, 0, "cell")):
        with pytest.raises(UserError, match=words):
            candidate_at(made, 0, place, row, column)
    with pytest.raises(UserError, match="no prototype 99"):
        candidates(made, 99)
    with pytest.raises(UserError, match="parts of its network"):
        candidates(preview_of("cbc"), 0)
