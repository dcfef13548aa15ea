"""Closeness and discrimination of ST-ProtoPNet against the product [C,K,D,C,K] that is written out in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.timing import compare, interleave, peak_mib, settings
from protoexplain.models import losses

DEPTH = 64


def written_out(prototypes: Tensor, classes: int) -> Tensor:
    """Inner products of all prototypes by class pair [C,C,K*K], from the element-wise product."""
    bases = prototypes.unflatten(0, (classes, -1))
    product = bases[:, :, :, None, None] * bases.permute(2, 0, 1)
    return product.sum(2).transpose(1, 2).flatten(2)


def published(prototypes: Tensor, classes: int, least: bool) -> Tensor:
    """Minus the mean least, or the mean greatest, inner product of the ordered pairs of different classes."""
    pairs = written_out(prototypes, classes)
    values = -pairs.min(2).values if least else pairs.max(2).values
    other = 1 - torch.eye(classes)
    return (values * other).sum() / other.sum()


def main() -> None:
    options = settings(__doc__, repeats=5)
    classes = 20 if options.quick else 200
    for per_class in (5, 10):
        torch.manual_seed(0)
        unit = torch.nn.functional.normalize(torch.randn(classes * per_class, DEPTH), dim=1)
        prototypes = unit.requires_grad_()
        for name, least, term in (
            ("closeness", True, losses.closeness),
            ("discrimination", False, losses.discrimination),
        ):
            arms = {
                "written out": lambda p=prototypes, least=least: torch.autograd.grad(published(p, classes, least), p),
                "ours": lambda p=prototypes, term=term: torch.autograd.grad(term(p, classes), p),
            }
            torch.testing.assert_close(*(arm() for arm in arms.values()), rtol=1e-4, atol=1e-6)
            peaks = {arm: peak_mib(work) for arm, work in arms.items()}
            results = interleave(arms, options.repeats)
            compare(
                f"{name}, forward and backward: {classes} classes x {per_class} prototypes of {DEPTH} channels",
                results,
                "written out",
                peaks,
            )
            options.verdict("times faster", 1 / results["ours"].ratio(results["written out"]), 10.0, at_least=True)


if __name__ == "__main__":
    main()
