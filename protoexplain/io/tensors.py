"""Tensors in safetensors files: nothing in them is executed, and all is checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from protoexplain.errors import UserError

_FIX = "use a checkpoint as the program wrote it"


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors, on the CPU and contiguous."""
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    path.write_bytes(save(plain))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file.

    Raises:
        UserError: It is no whole safetensors file, or a number in it is not finite.
    """
    try:
        with safe_open(path, "pt") as content:
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except Exception as error:
        reason = " ".join(str(error).split())[:150]
        raise UserError(f"{path.name} is not a whole safetensors file: {reason}", str(path), _FIX) from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            count = int((~tensor.isfinite()).sum())
            raise UserError(f"the tensor {name} has {count} numbers that are not finite", str(path), _FIX)
    return tensors


def load_into(model: nn.Module, path: Path) -> None:
    """Fill a model with the tensors of a file, which must match exactly.

    Raises:
        UserError: As `read_tensors`; or a name, shape or type differs.
    """
    fill(model, read_tensors(path), str(path), _FIX)


def fill(model: nn.Module, tensors: Mapping[str, Tensor], where: str, fix: str) -> None:
    """Fill a model with named tensors, which must match exactly.

    Args:
        model: The model.
        tensors: For each name of its state dict.
        where: They come from, for errors.
        fix: What to do about errors.

    Raises:
        UserError: A name, shape or type differs.
    """
    wanted = model.state_dict()
    for name in sorted(set(wanted) ^ set(tensors)):
        trouble = "is missing" if name in wanted else "is not known to this model"
        raise UserError(f"the tensor {name} {trouble}", where, fix)
    for name, tensor in tensors.items():
        expected = wanted[name]
        if tensor.shape != expected.shape or tensor.dtype != expected.dtype:
            what = f"the tensor {name} is {_described(tensor)}, but the model needs {_described(expected)}"
            raise UserError(what, where, fix)
    model.load_state_dict(dict(tensors))


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
