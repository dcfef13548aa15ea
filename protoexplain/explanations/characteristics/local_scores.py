"""How much each characteristic matters to the match of a prototype with one image.

Nauta et al. 2020: the local score is the drop of the activation at the place of the original peak when one
characteristic of the image is changed.  Positive: the characteristic mattered; negative: without it the match is
better.  All prototypes and characteristics of an image take one forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.explanations.characteristics.perturbations import RGB
from protoexplain.explanations.characteristics.variants import PUBLISHED, Change, variants
from protoexplain.io.cache import DiskCache
from protoexplain.models.base import PrototypeModel


@dataclass(frozen=True)
class LocalScores:
    """Scores of one image.

    Args:
        names: Of the M characteristics.
        scores: [M,P] drop of the activation at the original peak, in units of the activation.
        activations: [P] of the unchanged image, at the peak.
        cells: [P] number of the peak's cell, row by row.
    """

    names: tuple[str, ...]
    scores: Tensor
    activations: Tensor
    cells: Tensor

    def of(self, prototype: int) -> dict[str, float]:
        """Characteristic -> score of one prototype."""
        return dict(zip(self.names, self.scores[:, prototype].tolist(), strict=True))


def local_scores(
    model: PrototypeModel,
    rgb: RGB,
    size: int,
    changes: Sequence[Change] = PUBLISHED,
    cache: DiskCache | None = None,
) -> LocalScores:
    """Scores of all prototypes for one image.

    Args:
        model: In eval mode.
        rgb: The cut image at native size, uint8 [H,W,3].
        size: Side of the network's input.
        changes: Characteristics and the strengths of their changes.
        cache: Of slow changes, see `variants.texture_cache`.
    """
    pictures = variants(rgb, size, changes, cache)
    activations, cells = activations_at_peak(model, pictures[None])
    scores = activations[0, 0] - activations[0, 1:]
    return LocalScores(tuple(name for name, _ in changes), scores, activations[0, 0], cells[0])


@torch.inference_mode()
def activations_at_peak(model: PrototypeModel, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """What all versions of N images do to the places where the unchanged one matches best.

    Args:
        model: In eval mode.
        pictures: uint8 [N,1+M,3,S,S], of each image the unchanged one first.

    Returns:
        Activations [N,1+M,P] and cells [N,P], on the CPU.
    """
    device = next(model.parameters()).device
    features = model.backbone(pictures.flatten(0, 1).to(device).float().div_(255))
    activations, cells = from_features(model, features, pictures.shape[1])
    return activations.cpu(), cells.cpu()


def from_features(model: PrototypeModel, features: Tensor, versions: int) -> tuple[Tensor, Tensor]:
    """The same from features [N*V,D,h,w] of V versions of each image: activations [N,V,P] and cells [N,P]."""
    activations, cells = [], []
    for _, branch in model.named_branches():
        maps = branch.similarity_maps(features).flatten(2).unflatten(0, (-1, versions))
        peak = maps[:, 0].argmax(2)
        places = peak[:, None, :, None].expand(*maps.shape[:3], 1)
        activations.append(branch.activation(maps.gather(3, places)[..., 0]))
        cells.append(peak)
    return torch.cat(activations, 2), torch.cat(cells, 1)
