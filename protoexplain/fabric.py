"""Device, precision and processes of work on many images."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from protoexplain.devices import AUTO, resolve_device
from protoexplain.errors import UserError

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]


def make_fabric(
    device: str = AUTO, processes: int = 1, precision: Precision = "32-true", where: str = "--device"
) -> Fabric:
    """A fabric that is not launched yet.

    Args:
        device: As `resolve_device`.
        processes: More than one share the work, each on a device of its own unless that is the CPU.
        precision: Mixed precision computes features in half precision.
        where: The option or key that holds the device, for errors.

    Raises:
        UserError: There is no such device, or there are fewer than processes.
    """
    chosen = resolve_device(device, where)
    most = {"cuda": torch.cuda.device_count(), "mps": 1}.get(chosen.type, processes)
    if processes > (most if chosen.index is None else 1):
        raise UserError(f"{processes} processes need as many devices of '{device}'", where, f"there are {most}")
    strategy: Any = DDPStrategy(find_unused_parameters=True) if processes > 1 else "auto"
    devices = processes if chosen.index is None else [chosen.index]
    return Fabric(accelerator=chosen.type, devices=devices, strategy=strategy, precision=precision)


def scales_gradients(fabric: Fabric) -> bool:
    """Whether losses are scaled before gradients are computed (16-mixed); steps with infinite ones are left out."""
    return getattr(fabric.strategy.precision, "scaler", None) is not None
