"""The receptive field of any backbone, measured: the input pixels from which a gradient reaches a cell of the map.

Works where the layers are not a simple chain (residual blocks, padding that depends on the size, attention).  It is
measured on a copy of the network with positive random weights and without its activation functions, in which no
path from a pixel to a cell is cut; what training did to the weights does not matter.  Compare Luo et al. 2016,
"Understanding the Effective Receptive Field", for how small the part is that usually matters.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from protoexplain.data.geometry import Box
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.similarity import map_size

Span = tuple[int, int]
_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MeasuredField:
    """The receptive fields of all cells of a map, in input pixels.

    Args:
        rows: First and one past the last pixel row that each row of cells sees.
        columns: The same for columns.
    """

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def box(self, row: int, column: int) -> Box:
        """The field of one cell."""
        (y0, y1), (x0, x1) = self.rows[row], self.columns[column]
        return Box(x0, y0, x1, y1)


@torch.enable_grad()
def measure_fields(model: PrototypeModel, input_size: int) -> dict[tuple[int, int], MeasuredField]:
    """Measure the receptive fields of a model's similarity maps; the model itself is left alone.

    Args:
        model: Any.
        input_size: Side S of the pictures.

    Returns:
        By the size of the map, (rows, columns); where several branches have maps of one size, what any of them sees.
    """
    transparent = _transparent(model)
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, input_size, input_size, generator=generator, dtype=torch.double)
    picture = (noise + 0.5).requires_grad_()
    features = transparent.backbone(picture)
    fields: dict[tuple[int, int], MeasuredField] = {}
    for _, branch in transparent.named_branches():
        z = branch.addon(features)
        size, field = map_size(z, branch.prototypes), _field_of(z, picture, branch)
        fields[size] = _joined(fields[size], field) if size in fields else field
    return fields


def _field_of(z: Tensor, picture: Tensor, branch: Branch) -> MeasuredField:
    """The fields of one branch, from its latent map."""
    cells = [_span_of(z, picture, i) for i in range(z.shape[2])]
    height, width = branch.prototypes.shape[2:]
    rows, columns = map_size(z, branch.prototypes)
    return MeasuredField(
        tuple((cells[i][0][0], cells[i + height - 1][0][1]) for i in range(rows)),
        tuple((cells[i][1][0], cells[i + width - 1][1][1]) for i in range(columns)),
    )


def _joined(one: MeasuredField, other: MeasuredField) -> MeasuredField:
    """What either of two fields sees."""
    spans = ((one.rows, other.rows), (one.columns, other.columns))
    return MeasuredField(
        *(tuple((min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(*pair, strict=True)) for pair in spans)
    )


def _span_of(z: Tensor, picture: Tensor, index: int) -> tuple[Span, Span]:
    """Rows and columns of the picture that reach the cell (index, index) of z."""
    (gradient,) = torch.autograd.grad(z[0, :, index, index].sum(), picture, retain_graph=True)
    reached = (gradient[0] != 0).any(0)
    ys, xs = reached.any(1).nonzero()[:, 0], reached.any(0).nonzero()[:, 0]
    return (int(ys[0]), int(ys[-1]) + 1), (int(xs[0]), int(xs[-1]) + 1)


def _transparent(model: PrototypeModel) -> PrototypeModel:
    """A copy in float64 through which every path lets a gradient pass."""
    duplicate = copy.deepcopy(model).cpu().double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in duplicate.named_parameters():
        if parameter.dim() > 1:
            noise = torch.rand(parameter.shape, generator=generator, dtype=torch.double)
            parameter.copy_((noise + 0.5) / parameter[0].numel())
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    for module in duplicate.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
        for name, child in module.named_children():
            if isinstance(child, _ACTIVATIONS):
                setattr(module, name, nn.Identity())
    return duplicate
