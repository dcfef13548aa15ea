"""Batch norm over the batch of all processes, so that several train as one does.

torch's own `SyncBatchNorm` works on accelerators alone, and not for the layers of timm with an activation in them.
"""

from __future__ import annotations

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from protoexplain.models.processes import over_processes


class _OverProcesses(nn.modules.batchnorm._BatchNorm):
    """In training, the mean and variance of a channel are those of all processes (Ioffe and Szegedy
    2015, algorithm 1)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values, shape = x.float(), [1, -1, *[1] * (x.dim() - 2)]
        others = [dim for dim in range(x.dim()) if dim != 1]
        own_count = values.new_full((1,), values.numel() / values.shape[1])
        sums = over_processes(torch.cat([values.sum(others), own_count]))
        mean, count = sums[:-1] / sums[-1], sums[-1].detach()
        centred = values - mean.view(shape)
        variance = over_processes(centred.square().sum(others)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Let the running statistics follow."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class _Plain1d(_OverProcesses, nn.BatchNorm1d):
    pass


class _Plain2d(_OverProcesses, nn.BatchNorm2d):
    pass


class _WithActivation(_OverProcesses, BatchNormAct2d):
    def forward(self, x: Tensor) -> Tensor:
        found = super().forward(x)
        return self.act(self.drop(found)) if self.training else found


_KINDS = {nn.BatchNorm1d: _Plain1d, nn.BatchNorm2d: _Plain2d, BatchNormAct2d: _WithActivation}


def share_batch_norm(model: nn.Module) -> None:
    """From now on batch norm in a model takes the batch of all processes.  Weights and names stay."""
    for module in model.modules():
        kind = _KINDS.get(type(module))
        if kind is not None and module.affine and module.track_running_stats and module.momentum is not None:
            module.__class__ = kind
