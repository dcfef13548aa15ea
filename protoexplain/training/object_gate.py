"""Teach the object gate of a model which cells lie on the object: logistic regression on the features of its cells.

N images, D channels, H x W cells.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from protoexplain.models.object_gate import gates_of
from protoexplain.training.foreground import ON_OBJECT, coverage
from protoexplain.training.trainer import Trainer

CELLS, CELLS_OF_IMAGE = 200_000, 64
"""Most cells that it is taught on, in all and of each image."""
_STREAM = 5
"""Of random numbers, beside those of order, pictures, parts and the choice of patches."""
OPEN, SILENCED = 0.005, 0.05
"""Most of the cells beside the object that may stay open, unless more than so many of those on it became silent."""


@torch.no_grad()
def fit_object_gate(run: Trainer) -> None:
    """Teach the gates of a run's model, if it has any, on clean training images.

    Cells that lie half on the object are left out.  What tells the class in the few cells beside the object that stay
    open is told in all of them, so few may.  Masks tell where the object is, or boxes in uncut images, else the
    middle of the picture.
    """
    gates = gates_of(run.model)
    if not gates:
        return
    backbone = run.model.backbone.eval()
    images = len(run.data.train)
    wanted = max(2, min(CELLS_OF_IMAGE, CELLS // max(1, images)))
    generator = torch.Generator().manual_seed(run.config.training.seed + _STREAM)
    cells: list[Tensor] = []
    on: list[Tensor] = []
    covered: Tensor | None = None
    for pictures, _, indices in run.clean_batches(list(range(images)), "object gate"):
        features = backbone(pictures).float().cpu()
        if covered is None:
            covered = coverage(run.data.train, run.data.crop, features.shape[2:])
        for vectors, share in zip(features.flatten(2).transpose(1, 2), covered[indices.cpu()].flatten(1), strict=True):
            for chosen in (share >= ON_OBJECT, share == 0):
                places = chosen.nonzero()[:, 0]
                places = places[torch.randperm(len(places), generator=generator)[: wanted // 2]]
                cells.append(vectors[places])
                on.append(share[places] > 0)
    vectors, positive = torch.cat(cells), torch.cat(on)
    weight, bias = logistic_regression(vectors, positive)
    bias = stricter(vectors @ weight + bias, positive, bias)
    for gate in gates:
        gate.weight.copy_(weight)
        gate.bias.copy_(bias)


def logistic_regression(vectors: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [D] and bias [1] that tell the positive of vectors [n,D] from the others: weight * vector + bias > 0.

    Where there are no vectors of one kind, all are said to be positive.
    """
    if positive.all() or not positive.any():
        return torch.zeros(vectors.shape[1]), torch.ones(1)
    scaler = StandardScaler()
    fitted = LogisticRegression(max_iter=200).fit(scaler.fit_transform(vectors.numpy()), positive.numpy())
    weight = torch.from_numpy(fitted.coef_[0] / scaler.scale_)
    bias = torch.from_numpy(fitted.intercept_) - weight @ torch.from_numpy(scaler.mean_)
    return weight.float(), bias.float()


def stricter(values: Tensor, positive: Tensor, bias: Tensor) -> Tensor:
    """The bias [1] that leaves at most a share `OPEN` of the cells beside the object above 0, as far as a share
    `SILENCED` of those on it allows; never a larger one.

    Args:
        values: [n] with the bias that there is.
        positive: bool [n] on the object.
        bias: [1].
    """
    if positive.all() or not positive.any():
        return bias
    beside, on = values[~positive].numpy(), values[positive].numpy()
    return bias - max(0.0, min(float(np.quantile(beside, 1 - OPEN)), float(np.quantile(on, SILENCED))))
