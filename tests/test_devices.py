"""Which device a name means here."""

import pytest
import torch

from protoexplain import devices
from protoexplain.devices import resolve_device
from protoexplain.errors import UserError


@pytest.fixture
def present(monkeypatch):
    """Pretend that this computer has some kinds of devices."""

    def pretend(*kinds, cards=1):
        monkeypatch.setattr(devices, "available_kinds", lambda: kinds)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cards if "cuda" in kinds else 0)

    return pretend


@pytest.mark.parametrize(
    ("here", "name", "expected"),
    [
        (("cpu",), "auto", "cpu"),
        (("mps", "cpu"), "auto", "mps"),
        (("cuda", "cpu"), "auto", "cuda"),
        (("cuda", "cpu"), "cpu", "cpu"),
        (("cuda", "cpu"), "cuda:1", "cuda:1"),
        (("mps", "cpu"), "gpu", "mps"),
        (("cuda", "cpu"), "gpu", "cuda"),
    ],
)
def test_names(present, here, name, expected):
    present(*here, cards=2)
    assert resolve_device(name) == torch.device(expected)


@pytest.mark.parametrize(
    ("here", "name", "words"),
    [
        (("cpu",), "cuda", "this computer has no device 'cuda'"),
        (("cpu",), "gpu", "this computer has no device 'gpu'"),
        (("cuda", "cpu"), "mps", "this computer has no device 'mps'"),
        (("cuda", "cpu"), "cuda:2", "this computer has no device 'cuda:2'"),
        (("cpu",), "tpu", "unknown device 'tpu'"),
        (("cpu",), "cuda:x", "unknown device 'cuda:x'"),
        (("cpu",), "cpu:1", "unknown device 'cpu:1'"),
        (("cpu",), "", "unknown device ''"),
    ],
)
def test_absent_and_unknown_devices(present, here, name, words):
    present(*here, cards=2)
    with pytest.raises(UserError) as caught:
        resolve_device(name, "training.accelerator")
    assert caught.value.what == words
    assert caught.value.where == "training.accelerator"
    assert caught.value.fix == f"use auto or {' or '.join(here)}"


def test_there_is_always_a_cpu():
    assert devices.available_kinds()[-1] == "cpu"
