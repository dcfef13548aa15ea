"""The values by which families say what varies between them."""

import torch

from protoexplain.models.contract import EVERYWHERE, Detection, Ownership


def test_owners_are_one_class_several_or_all():
    owned = torch.tensor([[True, False, False], [True, True, False], [True, True, True]])
    ownership = Ownership(owned)
    assert [ownership.owners(prototype) for prototype in range(3)] == [(0,), (0, 1), None]
    assert ownership.labels.tolist() == [0, -1, -1]
    assert ownership.shared_by_all.tolist() == [False, False, True]
    assert ownership.any_shared_by_all
    assert not ownership.all_shared
    assert Ownership(owned[:1, :1]).owners(0) == (0,)


def test_merged_prototypes_belong_to_the_classes_of_all():
    ownership = Ownership.of_labels(torch.tensor([0, 1, 2, 1]), 3).merged(torch.tensor([0, 1, 0, 1]))
    assert [ownership.owners(prototype) for prototype in (0, 1)] == [(0, 2), (1,)]


def test_what_is_found_exceeds_the_level():
    similarity = torch.tensor([[0.05, 0.1], [0.2, -torch.inf]])
    assert Detection(0.1).can_fail
    assert Detection(0.1).found(similarity).tolist() == [[False, False], [True, False]]
    assert not EVERYWHERE.can_fail
    assert EVERYWHERE.found(similarity[:, 0]).all()
