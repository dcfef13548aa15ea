"""Device, precision and processes of work on many images."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import torch

from protoexplain.devices import AUTO, resolve_device
from protoexplain.errors import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


def as_launched(processes: int, nodes: int, where: str = "--devices, --nodes") -> tuple[int, int]:
    """Processes on each computer, and computers: those that torchrun or SLURM have started, else as asked for.

    Args:
        processes: Asked for, on each computer.
        nodes: Computers; with 1 process on 1 computer nothing is asked for.
        where: The options or keys that hold both, for errors.

    Raises:
        UserError: Others were started than asked for, or on several computers nothing has started them.
    """
    from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

    if TorchElasticEnvironment.detect():
        launcher, started = "torchrun", _started_by_torchrun(where)
    elif SLURMEnvironment.detect():
        launcher, started = "SLURM", _started_by_slurm()
    elif nodes > 1:
        raise UserError(
            f"{nodes} computers are wanted, and nothing has started processes on them",
            where,
            "start it with torchrun or srun, as docs/scale.md shows",
        )
    else:
        return processes, nodes
    if (processes, nodes) not in ((1, 1), started):
        raise UserError(
            f"{launcher} started {started[0]} processes on each of {started[1]} computers; "
            f"{processes} on each of {nodes} are wanted",
            where,
            "leave this out, or start as many: torchrun --nproc-per-node and --nnodes, srun --ntasks-per-node",
        )
    return started


def _started_by_torchrun(where: str) -> tuple[int, int]:
    """Processes on each computer, and computers.

    Raises:
        UserError: Not each computer has as many; Lightning counts on it.
    """
    total, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if total % here:
        raise UserError(
            f"torchrun started {total} processes in all, {here} of them on this computer",
            where,
            "start as many on each computer, by the same --nproc-per-node",
        )
    return here, total // here


def _started_by_slurm() -> tuple[int, int]:
    """Processes on each computer, and computers.

    Raises:
        UserError: srun has not started them, and this one would wait for the others for ever; or it is not known that
            each computer has as many, which Lightning counts on.
    """
    total, nodes = int(os.environ["SLURM_NTASKS"]), int(os.environ.get("SLURM_NNODES", "1"))
    given = os.environ.get("SLURM_NTASKS_PER_NODE", "1" if total == 1 else None)
    if given is None or int(given) * nodes != total:
        each = "not given" if given is None else given
        raise UserError(
            f"SLURM started {total} processes on {nodes} computers, with --ntasks-per-node {each}",
            "SLURM_NTASKS, SLURM_NNODES, SLURM_NTASKS_PER_NODE",
            "give --nodes and --ntasks-per-node instead of --ntasks, as docs/scale.md shows",
        )
    if total > 1 and "SLURM_STEP_ID" not in os.environ:
        raise UserError(
            f"SLURM granted {total} processes, and this one alone was started",
            "SLURM_NTASKS, SLURM_STEP_ID",
            "write srun before protoexplain in the script, as docs/scale.md shows",
        )
    return int(given), nodes


def make_fabric(
    device: str = AUTO, processes: int = 1, precision: Precision = "32-true", where: str = "--device", nodes: int = 1
) -> Fabric:
    """A fabric that is not launched yet.

    Args:
        device: As `resolve_device`.
        processes: More than one share the work, each on a device of its own unless that is the CPU.
        precision: Mixed precision computes features in half precision.
        where: The option or key that holds the device, for errors.
        nodes: Computers, each with as many processes.

    Raises:
        UserError: There is no such device, or there are fewer than processes.
    """
    from lightning_fabric import Fabric  # it loads a metrics library: seconds that the app's first page does not wait
    from lightning_fabric.strategies import DDPStrategy

    chosen = resolve_device(device, where)
    most = {"cuda": torch.cuda.device_count(), "mps": 1}.get(chosen.type, processes)
    if processes > (most if chosen.index is None else 1):
        raise UserError(f"{processes} processes need as many devices of '{device}'", where, f"there are {most}")
    strategy: Any = DDPStrategy(find_unused_parameters=True) if processes * nodes > 1 else "auto"
    devices = processes if chosen.index is None else [chosen.index]
    return Fabric(accelerator=chosen.type, devices=devices, num_nodes=nodes, strategy=strategy, precision=precision)


def scales_gradients(fabric: Fabric) -> bool:
    """Whether losses are scaled before gradients are computed (16-mixed); steps with infinite ones are left out."""
    return getattr(fabric.strategy.precision, "scaler", None) is not None
