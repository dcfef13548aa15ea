"""Where all prototypes look in every image, whatever its class, clean and under noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.metrics.observe.passes import Chunk, Noise
from protoexplain.metrics.observe.peaks import peaks
from protoexplain.models.base import PrototypeModel


@dataclass(frozen=True)
class AllPeaks:
    """Peaks (y, x) int16 [n,P,2] of all prototypes in the clean image and under one draw of noise, and the noisy
    activations [n,P].
    """

    noise: Noise
    name: str = "all_peaks"
    cost = 2

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        size, features = chunk.description.size, chunk.model.backbone(self.noise.images(chunk))
        return {
            "all": _peaks(chunk.model, chunk.features, size),
            "noisy": _peaks(chunk.model, features, size),
            "noisy_activations": chunk.model.activations(features),
        }


def _peaks(model: PrototypeModel, features: Tensor, size: int) -> Tensor:
    found = [peaks(branch.similarity_maps(features), size).short() for _, branch in model.named_branches()]
    return torch.cat(found, 1)
