"""How published programs go from prototypes to parts of a FunnyBird."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_vectors import Vectors, close
from test_golden_funnybirds import COLOURS

from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.interventions import PartMap, PartMasks, masks_in_input
from protoexplain.metrics.stats.part_importance import (
    complete_repository,
    items_of_heat,
    nearest_maps,
    summed_maps,
    summed_similarity_maps,
    without_least_active,
)

pytestmark = pytest.mark.golden


def masks_of(picture: np.ndarray, count: int) -> PartMasks:
    """Of a part map [3,S,S] in the colours of the data set."""
    labels, items, size = np.zeros(picture.shape[1:], np.uint8), [], picture.shape[1]
    for item, colours in enumerate(COLOURS[:count]):
        for colour in colours:
            items.append(item)
            labels[(picture == np.array(colour)[:, None, None]).all(0)] = len(items)
    return masks_in_input(PartMap(labels, tuple(items)), Geometry(Box(0, 0, size, size), size))


def test_sums_over_pixels(golden):
    v = golden("funnybirds_scores")
    for number, picture in enumerate(v["part_maps"]):
        found = items_of_heat(v.tensor("attributions", torch.float32)[number], masks_of(picture, 9), 9, published=True)
        close(found.importance, v["part_importances"][number], atol=1e-4)


@pytest.fixture(scope="module")
def v(golden) -> Vectors:
    return golden("funnybirds_prototype_parts")


def own(v: Vectors, number: int, dropped: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps and weights of the prototypes of the target class of an image."""
    distances, label = v.tensor("distances")[number], int(v["targets"][number])
    maps = torch.log((distances + 1) / (distances + 1e-4))
    chosen = v.tensor("prototype_class") == label
    if dropped:
        kept = without_least_active(maps)
        assert set(range(len(maps))) - set(kept.tolist()) == {int(v["dropped_prototype"][number])}
        chosen &= torch.isin(torch.arange(len(maps)), kept)
    return maps[chosen], v.tensor("head")[label, chosen]


def explained(v: Vectors, rule: str, number: int):
    masks, count = masks_of(v["part_maps"][number], 8), 8
    size = masks.plain.shape[1]
    if rule == "box":
        return complete_repository(*own(v, number, False), masks, count)
    if rule == "ssm":
        return summed_similarity_maps(*own(v, number, True), masks, count)
    if rule == "attriblike":
        return items_of_heat(summed_maps(*own(v, number, True), size), masks, count, published=True)
    importance = v.tensor("protosvit_importance")[number][:, [int(v["targets"][number])]]
    heat = nearest_maps(v.tensor("protosvit_similarity")[number], importance, size)
    return items_of_heat(heat, masks, count, published=True)


@pytest.mark.parametrize("rule", ["box", "ssm", "attriblike", "protosvit"])
def test_published_rules(v, rule):
    for number, expected in enumerate(v[f"{rule}_importances"]):
        found = explained(v, rule, number)
        close(found.importance[0], expected, atol=1e-5 * float(np.abs(expected).max()))
        bits = np.unpackbits(v[f"{rule}_important"][number], axis=1, count=8).astype(bool)
        assert torch.equal(found.named[0], torch.from_numpy(bits))
