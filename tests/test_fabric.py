"""Devices, processes and precision of work on many images."""

import lightning_fabric
import pytest
import torch
from lightning_fabric.utilities import rank_zero_only

from protoexplain import devices
from protoexplain.errors import UserError
from protoexplain.fabric import as_launched, make_fabric, scales_gradients


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
    monkeypatch.setattr(lightning_fabric, "Fabric", lambda **options: given.update(options))
    make_fabric("auto", 2, "bf16-mixed")
    assert (given["accelerator"], given["devices"], given["precision"]) == ("cuda", 2, "bf16-mixed")
    make_fabric("cuda:3")
    assert (given["accelerator"], given["devices"], given["precision"]) == ("cuda", [3], "32-true")
    assert given["strategy"] == "auto"


def launched(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))


TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": 8, "LOCAL_WORLD_SIZE": 4}
SLURM = {"SLURM_NTASKS": 8, "SLURM_NTASKS_PER_NODE": 4, "SLURM_NNODES": 2, "SLURM_STEP_ID": 0}


@pytest.mark.parametrize("started", [TORCHRUN, SLURM])
def test_processes_are_those_that_a_launcher_has_started(started, monkeypatch):
    assert as_launched(3, 1) == (3, 1)
    launched(monkeypatch, **started)
    assert as_launched(1, 1) == as_launched(4, 2) == (4, 2)
    with pytest.raises(UserError, match="started 4 processes on each of 2 computers; 8 on each of 1 are wanted"):
        as_launched(8, 1)


def test_several_computers_without_a_launcher():
    with pytest.raises(UserError, match="2 computers are wanted, and nothing has started") as caught:
        as_launched(4, 2)
    assert "torchrun or srun" in caught.value.fix


@pytest.mark.parametrize(
    ("tasks", "each", "nodes"), [(8, None, 2), (2, None, 2), (8, 4, 1), (6, 4, 2), (1, None, 2), (8, 4, None)]
)
def test_slurm_has_to_start_as_many_on_each_computer(tasks, each, nodes, monkeypatch):
    given = {"SLURM_NTASKS": tasks, "SLURM_NTASKS_PER_NODE": each, "SLURM_NNODES": nodes}
    launched(monkeypatch, **{name: value for name, value in given.items() if value is not None})
    with pytest.raises(UserError, match=f"{tasks} processes on {nodes or 1} computers, with --ntasks-per-node"):
        as_launched(1, 1)


def test_torchrun_has_to_start_as_many_on_each_computer(monkeypatch):
    launched(monkeypatch, **TORCHRUN | {"WORLD_SIZE": 6})
    with pytest.raises(UserError, match="torchrun started 6 processes in all, 4 of them on this computer"):
        as_launched(1, 1)


def test_a_script_of_slurm_without_srun(monkeypatch):
    launched(monkeypatch, **{name: value for name, value in SLURM.items() if name != "SLURM_STEP_ID"})
    with pytest.raises(UserError, match="granted 8 processes, and this one alone was started") as caught:
        as_launched(1, 1)
    assert "srun" in caught.value.fix


def test_one_task_of_slurm(monkeypatch):
    launched(monkeypatch, SLURM_NTASKS=1, SLURM_NNODES=1)
    assert as_launched(1, 1) == (1, 1)


def test_several_computers_share_the_work(monkeypatch):
    launched(monkeypatch, **TORCHRUN, RANK=5, LOCAL_RANK=1, GROUP_RANK=1)
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # Lightning sets it for the whole process
    fabric = make_fabric("cpu", 4, nodes=2)
    assert (fabric.world_size, fabric.global_rank, fabric.strategy.num_nodes) == (8, 5, 2)
