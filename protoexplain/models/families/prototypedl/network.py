"""PrototypeDL: an autoencoder whose prototypes are whole pictures in the latent space, and can be decoded.

Li et al. 2018, "Deep Learning for Case-Based Reasoning through Prototypes: A Neural Network that Explains Its
Predictions".  A prototype is as large as the latent map, so its similarity map has one cell, the whole picture.  The
similarity is minus the squared distance; prototypes belong to no class.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.errors import UserError
from protoexplain.models import losses
from protoexplain.models.autoencoder import ConvDecoder, halved
from protoexplain.models.base import Branch, PrototypeModel, PrototypeOutput
from protoexplain.models.contract import Ownership, PrototypeSource
from protoexplain.models.families.protopnet.network import normalised
from protoexplain.models.families.prototypedl import PrototypeDLConfig
from protoexplain.models.heads import DistanceHead
from protoexplain.models.similarity import NegativeSquaredL2


class PrototypeDL(PrototypeModel):
    """One branch of prototypes that all classes share, and a decoder that mirrors the encoder."""

    prototype_source = PrototypeSource.DECODED

    def __init__(self, config: PrototypeDLConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        layers = round(math.log2(config.backbone.stride))
        side, depth = halved(config.image_size, layers)[-1], config.latent_channels or channels
        latent = normalised(nn.Sequential(nn.Conv2d(channels, depth, 1), nn.ReLU()), channels, wanted=True)
        branch = Branch(
            addon=latent if config.latent_channels else nn.Identity(),
            prototypes=torch.rand(config.prototypes, depth, side, side),
            similarity=NegativeSquaredL2(),
            head=DistanceHead(config.prototypes, classes),
        )
        super().__init__(backbone, {"main": branch}, Ownership.of_all(config.prototypes, classes))
        self.decoder = ConvDecoder(depth, config.picture_channels, config.image_size, layers)
        self.side, self.channels = config.image_size, config.picture_channels
        self.constrain(frozenset({"head"}))

    def from_images(
        self, images: Tensor, names: frozenset[str] = frozenset(), active: str | None = None
    ) -> PrototypeOutput:
        if images.shape[2:] != (self.side, self.side):
            raise UserError(
                f"the pictures have {images.shape[2]} x {images.shape[3]} pixels, the model encodes {self.side}",
                "model.image_size",
                "give model.image_size and data.image_size the same number",
            )
        return super().from_images(images, names, active)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {**super().parameter_groups(), "decoder": list(self.decoder.parameters())}

    def decoded_prototypes(self) -> Tensor:
        """[P,3,S,S] in [0, 1]."""
        pictures: Tensor = self.decoder(torch.cat([branch.prototypes for _, branch in self.named_branches()]))
        return pictures.expand(-1, 3, -1, -1)

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """cross_entropy; r1, r2 and reconstruction, which know only batches of images."""
        out = output.branches["main"]
        terms = {"cross_entropy": lambda: F.cross_entropy(output.logits, labels)}
        if output.images is not None and out.latent is not None and out.similarity is not None:
            similarity, images, latent = out.similarity, output.images, out.latent
            pictures = images.mean(1, keepdim=True) if self.channels == 1 else images
            terms["reconstruction"] = lambda: losses.reconstruction_error(self.decoder(latent), pictures)
            terms["r1"] = lambda: losses.every_prototype_near(similarity)
            terms["r2"] = lambda: losses.every_picture_near(similarity)
        return {name: term() for name, term in terms.items() if name in names}

    def constrain(self, trained: frozenset[str]) -> None:
        """The weights of each prototype have mean zero over the classes, which says how it tells them apart.

        Softmax knows differences alone, so that neither probabilities nor gradients depend on that mean.
        """
        branch = self.branches["main"]
        if "head" in trained and isinstance(branch, Branch) and isinstance(branch.head, DistanceHead):
            weight = branch.head.weight.data
            weight.sub_(weight.mean(0, keepdim=True))
