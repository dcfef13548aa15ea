"""What is exported of a model: one pass from images to class scores, probabilities, activations and their maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from protoexplain.models.base import PrototypeModel

INPUT = "images"
SCORES = ("logits", "probabilities", "activations")


class ExportedNetwork(nn.Module):
    """Images [B,3,S,S] in [0, 1] -> class scores [B,C], probabilities [B,C], activations [B,P], maps [B,p,H,W].

    Each branch has maps of its own p prototypes.  Activations are the maxima of the maps, and class scores are computed
    from them, so that nothing is computed twice.
    """

    def __init__(self, model: PrototypeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = self.model.activation_maps(self.model.backbone(images))
        activations = torch.cat([of_branch.amax((2, 3)) for of_branch in maps], 1)
        logits = self.model.from_activations(activations).logits
        return logits, self.model.probabilities(logits), activations, *maps

    def expected(self, images: Tensor) -> tuple[Tensor, ...]:
        """The same as the model itself gives it."""
        output, features = self.model(images), self.model.backbone(images)
        maps = self.model.activation_maps(features)
        return output.logits, self.model.probabilities(output.logits), output.activations, *maps

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs: ``maps``, or where there are several branches ``maps_`` and the branch."""
        names = [name for name, _ in self.model.named_branches()]
        return (*SCORES, *(["maps"] if len(names) == 1 else [f"maps_{name}" for name in names]))
