"""Golden vectors as tensors, and the comparison |a - b| <= atol + rtol |b| of all golden tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from protoexplain.models.families.st_protopnet import STProtoPNetConfig
from protoexplain.models.families.st_protopnet.network import STProtoPNet


class Vectors(Mapping[str, NDArray]):
    """One .npz file, read without pickle.

    Args:
        path: The file.
        prefix: Only the keys that begin with it, named without it.
    """

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path, self.prefix = path, prefix
        with np.load(path, allow_pickle=False) as file:
            self.values_by_key = {k.removeprefix(prefix): file[k] for k in file.files if k.startswith(prefix)}

    def __getitem__(self, key: str) -> NDArray:
        return self.values_by_key[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_key)

    def __len__(self) -> int:
        return len(self.values_by_key)

    def tensor(self, key: str, dtype: torch.dtype | None = None) -> Tensor:
        return torch.from_numpy(self[key].copy()).to(dtype)

    def number(self, key: str) -> float:
        return float(self[key])

    def under(self, prefix: str) -> Vectors:
        return Vectors(self.path, self.prefix + prefix)

    def groups(self) -> list[str]:
        """The first parts of keys written `group/key`, in order."""
        return list(dict.fromkeys(key.split("/")[0] for key in self if "/" in key))


def close(actual: Tensor, expected: Tensor | NDArray | float, atol: float, rtol: float = 0.0) -> None:
    """Shapes and values agree; infinities and NaN must stand in the same places."""
    wanted = torch.as_tensor(expected).detach().double()
    torch.testing.assert_close(actual.detach().double(), wanted, atol=atol, rtol=rtol, equal_nan=True)


def st_protopnet(v: Vectors, variant: str, prototypes: Mapping[str, Tensor]) -> STProtoPNet:
    """An ST-ProtoPNet without backbone, with the add-ons of a file and raw prototypes [P,D] by branch.

    Heads are set where the file has them.
    """
    count, depth = prototypes["trivial"].shape
    classes, channels = int(v["num_classes"]), v["addon_trivial_w1"].shape[1]
    config = STProtoPNetConfig(
        variant=variant,
        prototypes_per_class=int(v["num_prototypes_per_class"]),
        prototype_channels=depth,
        published_masking=True,
        published_diagonal=True,
    )
    model = STProtoPNet(config, classes, nn.Identity(), channels)
    for name, branch in model.named_branches():
        layers = [layer for layer in branch.addon if isinstance(layer, nn.Conv2d)]
        for number, layer in enumerate(layers, 1):
            layer.weight.data = v.tensor(f"addon_{name}_w{number}")[:, :, None, None]
            layer.bias.data = v.tensor(f"addon_{name}_b{number}")
        branch.prototypes.data = prototypes[name].view(count, depth, 1, 1).clone()
        if f"last_layer_{name}" in v:
            branch.head.weight.data = v.tensor(f"last_layer_{name}")
    return model
