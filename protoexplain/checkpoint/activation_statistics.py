"""What the training images give to each prototype: the file activations.safetensors of a checkpoint."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from protoexplain.errors import UserError
from protoexplain.io.tensors import read_tensors, write_tensors
from protoexplain.models.activation_statistics import ActivationStatistics


def write_statistics(path: Path, statistics: ActivationStatistics) -> None:
    """Write them, a tensor for each."""
    write_tensors(path, vars(statistics))


def read_statistics(path: Path, prototypes: int) -> ActivationStatistics:
    """Read the statistics of so many prototypes.

    Raises:
        UserError: The file is damaged, or about other prototypes.
    """
    tensors, wanted = read_tensors(path), [field.name for field in fields(ActivationStatistics)]
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != dict.fromkeys(wanted, (prototypes,)):
        what = f"{path.name} does not hold {' and '.join(wanted)} of {prototypes} prototypes"
        raise UserError(what, str(path), "use a checkpoint as the program wrote it")
    return ActivationStatistics(**tensors)
