"""Where models run: on the device that was named, or on the best one that there is."""

from __future__ import annotations

import torch

from protoexplain.errors import UserError

AUTO = "auto"
KINDS = ("cuda", "mps", "cpu")
"""Of devices, the best first."""


def available_kinds() -> tuple[str, ...]:
    """The kinds of devices that this computer has, the best first; the CPU is always among them."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return tuple(kind for kind in KINDS if present[kind])


def resolve_device(name: str = AUTO, where: str = "--device") -> torch.device:
    """The device of a name.

    Args:
        name: ``auto`` takes the best that there is, ``gpu`` the best accelerator; ``cpu``, ``mps``, ``cuda`` and
            ``cuda:1`` are as torch names them.
        where: The option or key that holds the name, for errors.

    Raises:
        UserError: No such device is known, or this computer has none.
    """
    here = available_kinds()
    choices = f"use {' or '.join((AUTO, *here))}"
    kind, _, number = name.partition(":")
    if kind not in (AUTO, "gpu", *KINDS) or (number and not (kind == "cuda" and number.isdecimal())):
        raise UserError(f"unknown device '{name}'", where, choices)
    suited = [one for one in here if kind in (AUTO, one) or (kind == "gpu" and one != "cpu")]
    if not suited or (number and int(number) >= torch.cuda.device_count()):
        raise UserError(f"this computer has no device '{name}'", where, choices)
    return torch.device(suited[0], int(number)) if number else torch.device(suited[0])
