"""Weighted least squares with an intercept, as captum's LIME wants it."""

from __future__ import annotations

import torch
from captum._utils.models.model import Model
from torch import Tensor
from torch.utils.data import DataLoader

from protoexplain.models.precision import exact


class LeastSquares(Model):
    """Fits y = w z + c exactly, without the regularisation that would shrink w; one batch holds all samples."""

    def __init__(self) -> None:
        self.weights, self.intercept = torch.zeros(0), torch.zeros(())

    def fit(self, train_data: DataLoader, **settings: object) -> None:
        """Minimise the weighted squared error over (z [n,M], y [n], weight [n]); the least w where many do."""
        ((inputs, outputs, weights),) = train_data
        root = exact(weights).sqrt()[:, None]
        columns = torch.cat([exact(inputs), torch.ones(len(inputs), 1, dtype=torch.double)], 1)
        solved = torch.linalg.lstsq(columns * root, exact(outputs)[:, None] * root, driver="gelsd")
        self.weights, self.intercept = solved.solution[:-1, 0], solved.solution[-1, 0]

    def representation(self) -> Tensor:
        """[1,M]."""
        return self.weights[None]

    def __call__(self, inputs: Tensor) -> Tensor:
        return inputs.to(self.weights) @ self.weights + self.intercept
