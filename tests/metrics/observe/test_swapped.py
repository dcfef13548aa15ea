"""Copies of a model with other prototypes: patches that are there, or numbers; the model stays as it is."""

import pytest
import torch
from tiny_runs import tiny_config, tiny_model

from protoexplain.data.loading import ImageDataset
from protoexplain.data.read import read_image_set
from protoexplain.metrics.observe.swapped import NUMBERS, PATCHES, swapped_models

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def images(planted):
    return ImageDataset(read_image_set(planted).split("train")[:5], "box", 64)


@pytest.mark.parametrize("family", ["protopnet", "st_protopnet"])
def test_prototypes_are_patches_of_the_images(family, images):
    model = tiny_model(tiny_config(family))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = swapped_models(model, {PATCHES: images}, 0)
    assert set(found) == {PATCHES, NUMBERS}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    pictures = torch.stack([images[number][0][0] for number in range(len(images))])
    with torch.no_grad():
        for name, branch in found[PATCHES].named_branches():
            own = dict(model.named_branches())[name].prototypes
            assert branch.prototypes.shape == own.shape
            assert not torch.equal(branch.prototypes, own)
            perfect = branch.similarity.best(branch.addon(model.backbone(pictures)), branch.prototypes)[0].amax(0)
            if family == "protopnet":
                assert perfect.min() > -1e-4, "each is a patch of one of the images, at distance 0"
    again = swapped_models(model, {PATCHES: images}, 0)[PATCHES]
    other = swapped_models(model, {PATCHES: images}, 1)[PATCHES]
    first, same, different = (
        torch.cat([b.prototypes.flatten() for _, b in m.named_branches()]) for m in (found[PATCHES], again, other)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, different)
