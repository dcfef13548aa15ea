"""The values by which families say what varies between them."""

import torch

from protoexplain.models.contract import EVERYWHERE, Detection, Ownership


def test_owners_are_classes_or_nobody():
    owned = torch.tensor([[True, False, False], [True, True, False], [False, False, True]])
    ownership = Ownership(owned)
    assert ownership.owners == [0, None, 2]
    assert ownership.owners == [ownership.owner(prototype) for prototype in range(3)]


def test_what_is_found_exceeds_the_level():
    similarity = torch.tensor([[0.05, 0.1], [0.2, -torch.inf]])
    assert Detection(0.1).can_fail
    assert Detection(0.1).found(similarity).tolist() == [[False, False], [True, False]]
    assert not EVERYWHERE.can_fail
    assert EVERYWHERE.found(similarity[:, 0]).all()
