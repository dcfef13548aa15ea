"""Export a checkpoint: trace, write in memory, run what was written beside the model, and only then make the file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.errors import UserError
from protoexplain.exporting.about import about
from protoexplain.exporting.formats import BATCH, format_of
from protoexplain.exporting.network import ExportedNetwork
from protoexplain.io.atomic import require_no_checkpoint, write_file

TOLERANCE = 1e-4
"""Largest difference from the model, absolute where numbers are small and relative where they are large."""
_TRACED, _COMPARED = 2, 3
"""Images in the batch that is traced, and in the one that is compared: the size of the batch is free."""


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Args:
        path: The file.
        format: Its title.
        outputs: Name -> shape, with the number of images as ``batch``.
        difference: The largest from the model, over all outputs, on pictures of noise.
        about: What the file says of itself.
    """

    path: Path
    format: str
    outputs: dict[str, tuple[int | str, ...]]
    difference: float
    about: dict[str, str]


def export(checkpoint: Checkpoint, target: Path) -> Exported:
    """Write a checkpoint as one file for other programs.

    Args:
        checkpoint: That is exported, on the CPU.
        target: New file; its suffix is the format.

    Raises:
        UserError: Unknown suffix, packages that are missing, a file of that name, a place within a checkpoint, a
            network that cannot be traced, or numbers that are not the model's.
    """
    chosen = format_of(target)
    if target.exists():
        raise UserError("the file exists already", str(target), "choose another name")
    require_no_checkpoint(target)
    network = ExportedNetwork(checkpoint.model()).eval()
    told, size = about(checkpoint, network), checkpoint.config.data.image_size
    name = checkpoint.config.model.backbone.name  # type: ignore[attr-defined]
    images = torch.rand(_TRACED + _COMPARED, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        content = chosen.write(_traced(network, images[:_TRACED]), network.outputs, told)
        with torch.no_grad():
            found = chosen.run(content, images[_TRACED:])
    except Exception as error:  # torch and the formats have no common class of what they cannot do
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UserError(f"a {name} cannot be written as {chosen.title}: {reason}", str(target), _FIX) from error
    with torch.no_grad():
        expected = network.expected(images[_TRACED:])
    difference = _difference(found, expected)
    if not difference <= TOLERANCE:
        what = f"the exported network gives other numbers than the model (by {difference:.2g})"
        raise UserError(what, str(target), _FIX)
    write_file(target, content, new=True)
    outputs: dict[str, tuple[int | str, ...]] = {
        key: (BATCH, *output.shape[1:]) for key, output in zip(network.outputs, expected, strict=True)
    }
    return Exported(target, chosen.title, outputs, difference, told)


_FIX = "export another format (.onnx, .pt2), or use the checkpoint itself"


def _traced(network: ExportedNetwork, images: Tensor) -> ExportedProgram:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(network, (images,), dynamic_shapes=({0: Dim(BATCH)},), strict=False)


def _difference(found: list[Tensor], expected: tuple[Tensor, ...]) -> float:
    """The largest, relative to numbers above one; not finite where numbers or shapes are others."""
    if [one.shape for one in found] != [one.shape for one in expected]:
        return float("inf")
    pairs = zip(found, expected, strict=True)
    return float(torch.stack([((one - other).abs() / other.abs().clamp_min(1)).max() for one, other in pairs]).max())
