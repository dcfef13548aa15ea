"""Files that `torch.save` wrote elsewhere: read without running anything that they name.

Only what torch itself allows is rebuilt (tensors, numbers, text, lists and tables).  For classes that a caller knows by
name, such as the modules of a whole model, an empty class of the same name holds the state that the file gives; all
other names are refused.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from protoexplain.errors import UserError

_FIX = "where it was made: torch.save(model.state_dict(), 'weights.pth'), and import that file"
_SAID = 150


class StandIn:
    """In the place of a class that a file names: holds the state that the file gives, and does nothing with it."""

    def __new__(cls, *_: object, **__: object) -> StandIn:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        """What the class would have been given is passed over."""


def read_pickled(path: Path, known: Callable[[str], bool]) -> Any:  # noqa: ANN401 - what a file holds
    """Read what `torch.save` wrote, on the CPU.

    Args:
        path: The file.
        known: Whether a dotted name is that of a class which a `StandIn` may take the place of.

    Raises:
        UserError: It cannot be read, names anything else, or is compressed, as torch never writes it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inert = [(type(name.split(".")[-1], (StandIn,), {}), name) for name in _names_in(path, known)]
            with torch.serialization.safe_globals(inert):  # type: ignore[arg-type]
                return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:
        said = ascii(" ".join(str(error).split())[:_SAID])[1:-1] or type(error).__name__
        raise UserError(f"not a file of tensors that torch.save wrote: {said}", str(path), _FIX) from error


def _names_in(path: Path, known: Callable[[str], bool]) -> list[str]:
    """The names that torch does not allow by itself, all of them known; old files, which are no archive, have none."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise UserError("the file is compressed or a program, and torch.save writes neither", str(path), _FIX)
    names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    refused = [name for name in names if not known(name)]
    if refused:
        more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
        named = ", ".join(ascii(name[:_SAID])[1:-1] for name in refused[:3])
        raise UserError(f"the file asks to run what is not known here: {named}{more}; nothing was run", str(path), _FIX)
    return names


def plain_tensor(name: str, tensor: Tensor, where: str) -> Tensor:
    """The tensor if it is a plain one with numbers of its own, floating point as float32.

    Raises:
        UserError: It is sparse, quantised or without data, claims more numbers than the file holds, or has one that is
            not finite.
    """
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_complex():
        raise UserError(f"the tensor {name} is not a plain one", where, _FIX)
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UserError(f"the tensor {name} claims more numbers than the file holds", where, _FIX)
    if not tensor.is_floating_point():
        return tensor.detach()
    found = tensor.detach().float()
    if not bool(found.isfinite().all()):
        raise UserError(f"the tensor {name} has numbers that are not finite", where, "take a file of a sound training")
    return found
