"""Prototype layer, forward and backward, against the published formulation by three convolutions.

Published: relu(conv(z^2, ones) - 2 conv(z, p) + |p|^2), then max-pooling of its negative over the whole map.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.timing import compare, interleave, peak_mib, settings
from protoexplain.models.similarity import NegativeSquaredL2

BATCH, DEPTH = 16, 128


def published(z: Tensor, prototypes: Tensor, ones: Tensor) -> Tensor:
    """Least squared distance [B,P]."""
    squares = F.conv2d(z * z, ones)
    lengths = (prototypes * prototypes).sum((1, 2, 3))[:, None, None]
    distances = F.relu(squares - 2 * F.conv2d(z, prototypes) + lengths)
    return -F.max_pool2d(-distances, distances.shape[2:]).flatten(1)


def ours(z: Tensor, prototypes: Tensor) -> Tensor:
    """The same by our similarity."""
    return -NegativeSquaredL2().best(z, prototypes)[0]


def gradients(
    least_distances: Callable[[Tensor, Tensor], Tensor], z: Tensor, prototypes: Tensor, weights: Tensor
) -> tuple[Tensor, ...]:
    """Forward and backward."""
    return torch.autograd.grad((least_distances(z, prototypes) * weights).sum(), (z, prototypes))


def main() -> None:
    options = settings(__doc__, repeats=15)
    count = 200 if options.quick else 2000
    for side in (7, 14):
        torch.manual_seed(0)
        z = torch.rand(BATCH, DEPTH, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
        prototypes = torch.rand(count, DEPTH, 1, 1).requires_grad_()
        ones = torch.ones_like(prototypes)
        weights = torch.rand(BATCH, count)

        arms: dict[str, Callable[[], object]] = {
            "three convolutions": partial(gradients, partial(published, ones=ones), z, prototypes, weights),
            "ours": partial(gradients, ours, z, prototypes, weights),
        }
        torch.testing.assert_close(ours(z, prototypes), published(z, prototypes, ones), rtol=1e-4, atol=1e-4)
        peaks = {name: peak_mib(arm) for name, arm in arms.items()}
        results = interleave(arms, options.repeats)
        compare(
            f"batch {BATCH}, {side} x {side} cells, {count} prototypes of {DEPTH} channels",
            results,
            "three convolutions",
            peaks,
        )
        options.verdict("CPU ratio", results["ours"].ratio(results["three convolutions"]), 1.0)


if __name__ == "__main__":
    main()
