"""In which precision numbers are computed."""

import pytest
import torch
from toy_models import linear

from protoexplain.models.precision import all_digits
from protoexplain.training.projection import search

SETTINGS = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)


def precisions():
    return [setting.fp32_precision for setting in SETTINGS]


@pytest.fixture(params=["tf32", "ieee"])
def rounded(request):
    """Products and convolutions of accelerators in a precision that a user chose."""
    before = precisions()
    for setting in SETTINGS:
        setting.fp32_precision = request.param
    yield [request.param] * len(SETTINGS)
    for setting, value in zip(SETTINGS, before, strict=True):
        setting.fp32_precision = value


def test_all_digits_only_inside(rounded):
    with all_digits():
        assert precisions() == ["ieee", "ieee"]
    assert precisions() == rounded
    with pytest.raises(ValueError, match="broken"), all_digits():
        raise ValueError("broken")
    assert precisions() == rounded


def test_who_is_inside_keeps_all_digits_when_another_leaves(rounded):
    first, second = all_digits(), all_digits()
    for one in (first, second):
        one.__enter__()
    first.__exit__(None, None, None)
    assert precisions() == ["ieee", "ieee"]
    second.__exit__(None, None, None)
    assert precisions() == rounded


def test_patches_are_sought_with_all_digits(rounded):
    model, seen = linear(torch.eye(3).tolist()), []
    model.backbone.register_forward_hook(lambda *_: seen.append(precisions()))
    search(model, [(torch.rand(3, 3, 8, 8), torch.arange(3), torch.arange(3))])
    assert seen == [["ieee", "ieee"]]
    assert precisions() == rounded
