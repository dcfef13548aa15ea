"""Two ways to compare pictures with components beside pixel by pixel: by the tangent distance, and by an encoder.

With the tangent distance a component is an affine subspace: a picture, and directions in which it may be moved at no
distance (Saralajew et al. 2025).  A Siamese encoder is a small network that pictures and components go through before
they are compared (Saralajew et al. 2019).  B pictures, K components, D channels, S x S pixels, T directions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from protoexplain.models.detection import tangent_squared_distance
from protoexplain.models.precision import in_float32
from protoexplain.models.similarity import NegativeSquaredL2, Similarity


class NegativeSquaredTangent(NegativeSquaredL2):
    """-||(I - W W^T)(x - w)||^2 of whole pictures x, pictures w and directions W; range (-inf, 0].

    The prototypes tensor [K,(1+T)*D,S,S] holds w, then the T directions, which are orthonormal.

    Args:
        depth: D.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth

    @in_float32
    def maps(self, z: Tensor, prototypes: Tensor) -> Tensor:
        parts = prototypes.unflatten(1, (-1, self.depth)).flatten(2)
        pictures = z[:, : self.depth].flatten(1)  # components are compared with each other as pictures, too
        distances = tangent_squared_distance(pictures, parts[:, 0], parts[:, 1:].transpose(1, 2))
        return -distances[:, :, None, None]


def orthonormal(directions: Tensor) -> Tensor:
    """The orthonormal directions [K,T,D,S,S] that are nearest to the given ones, by polar decomposition.

    They span the same subspace, and small steps of the one are small steps of the other, which QR does not promise.

    Example:
        >>> directions = torch.tensor([[2.0, 0.0], [0.0, -0.5]]).view(1, 2, 1, 1, 2)
        >>> orthonormal(directions).view(2, 2).tolist()
        [[1.0, 0.0], [0.0, -1.0]]
    """
    left, _, right = torch.linalg.svd(directions.flatten(2), full_matrices=False)
    return (left @ right).view_as(directions)


class Siamese(nn.Module):
    """Features of pictures, compared with features of components by the same network.

    It learns from pictures alone: components are learned through it as it is (published).

    Args:
        depth: D.
        compared: Similarity of the features [.,128,s,s], of whole maps.
    """

    def __init__(self, depth: int, compared: Similarity) -> None:
        super().__init__()
        self.compared = compared
        self.encoder = nn.Sequential(
            *(nn.Conv2d(depth, 32, 3), nn.SiLU(), nn.Conv2d(32, 64, 3), nn.SiLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 64, 3), nn.SiLU(), nn.Conv2d(64, 128, 3), nn.SiLU(), nn.MaxPool2d(2)),
        )
        self.constrain()

    @in_float32
    def maps(self, z: Tensor, prototypes: Tensor) -> Tensor:
        return self.compared.maps(self.encoder(z), self._of_components(prototypes))

    @in_float32
    def best(self, z: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
        return self.compared.best(self.encoder(z), self._of_components(prototypes))

    def prototypes_from(self, patches: Tensor) -> Tensor:
        return patches

    def _of_components(self, pictures: Tensor) -> Tensor:
        fixed = {name: parameter.detach() for name, parameter in self.encoder.named_parameters()}
        features: Tensor = functional_call(self.encoder, fixed, (pictures,))
        return features

    @torch.no_grad()
    def constrain(self) -> None:
        """Each filter has length one, as published."""
        for layer in self.encoder:
            if isinstance(layer, nn.Conv2d):
                layer.weight /= layer.weight.flatten(1).norm(dim=1).clamp_min(1e-7)[:, None, None, None]
