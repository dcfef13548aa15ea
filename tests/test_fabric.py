"""Devices, processes and precision of work on many images."""

import pytest
import torch

from protoexplain import devices
from protoexplain import fabric as module
from protoexplain.errors import UserError
from protoexplain.fabric import make_fabric, scales_gradients


def test_one_process_on_the_cpu():
    fabric = make_fabric("cpu")
    assert (fabric.device, fabric.world_size) == (torch.device("cpu"), 1)
    assert not scales_gradients(fabric)


def test_several_processes_share_the_cpu():
    assert make_fabric("cpu", 3).strategy.num_processes == 3


@pytest.mark.parametrize(("device", "processes"), [("cuda", 3), ("cuda:1", 2), ("mps", 2)])
def test_fewer_devices_than_processes(device, processes, monkeypatch):
    monkeypatch.setattr(devices, "available_kinds", lambda: ("cuda", "mps", "cpu"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=f"{processes} processes need as many devices of '{device}'") as caught:
        make_fabric(device, processes, where="--devices")
    assert caught.value.where == "--devices"


def test_what_is_handed_to_lightning(monkeypatch):
    given = {}
    monkeypatch.setattr(devices, "available_kinds", lambda: ("cuda", "cpu"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(module, "Fabric", lambda **options: given.update(options))
    make_fabric("auto", 2, "bf16-mixed")
    assert (given["accelerator"], given["devices"], given["precision"]) == ("cuda", 2, "bf16-mixed")
    make_fabric("cuda:3")
    assert (given["accelerator"], given["devices"], given["precision"]) == ("cuda", [3], "32-true")
    assert given["strategy"] == "auto"
