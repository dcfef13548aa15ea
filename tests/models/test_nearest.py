"""The nearest images of a pass in batches, against sorting everything at once."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from protoexplain.models.nearest import Nearest


def naive(similarity, labels, k, allowed):
    """For each prototype the k best (similarity, image, label); the first image wins a tie."""
    found = []
    for p in range(similarity.shape[1]):
        rows = [i for i in range(len(similarity)) if allowed[i, p] and similarity[i, p] > -math.inf]
        rows.sort(key=lambda i: (-float(similarity[i, p]), i))
        best = [(float(similarity[i, p]), i, int(labels[i])) for i in rows[:k]]
        found.append(best + [(-math.inf, -1, -1)] * (k - len(best)))
    return found


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(0, 20),
    prototypes=st.integers(1, 4),
    k=st.integers(1, 8),
    batch=st.integers(1, 7),
    restricted=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
)
def test_against_sorting(images, prototypes, k, batch, restricted, seed):
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.randint(-3, 3, (images, prototypes), generator=generator).float()  # many ties
    labels = torch.randint(3, (images,), generator=generator)
    allowed = torch.randint(2, (images, prototypes), generator=generator).bool() | (not restricted)
    maps = similarity[:, :, None, None] + torch.arange(images)[:, None, None, None] * torch.ones(1, 1, 2, 3)
    nearest, order = Nearest(k, prototypes), torch.arange(images)
    for rows in order.split(batch):
        nearest.update(similarity[rows], rows, labels[rows], maps[rows], allowed[rows] if restricted else None)
    found = nearest.patches()
    expected = naive(similarity, labels, k, allowed)
    for p in range(prototypes):
        told = list(zip(found.similarity[p].tolist(), found.image[p].tolist(), found.label[p].tolist(), strict=True))
        assert told == expected[p]
        for place, (value, image, _) in enumerate(expected[p]):
            if image >= 0:
                assert (found.maps[p, place] == value + image).all(), "the map goes with its image"


def test_without_maps_and_without_images():
    nearest = Nearest(3, 2)
    assert nearest.patches().image.tolist() == [[-1] * 3] * 2
    nearest.update(torch.tensor([[0.5, 0.1]]), torch.tensor([7]), torch.tensor([1]))
    found = nearest.patches()
    assert found.image.tolist() == [[7, -1, -1]] * 2
    assert found.similarity[0].tolist() == [0.5, -math.inf, -math.inf]
    assert found.maps is None


def test_pass_in_inference_mode():
    nearest = Nearest(2, 1)
    with torch.inference_mode():
        nearest.update(torch.ones(3, 1), torch.arange(3), torch.zeros(3, dtype=torch.long), torch.ones(3, 1, 2, 2))
    assert nearest.patches().image.tolist() == [[0, 1]]
