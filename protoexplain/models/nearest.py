"""The images nearest to each prototype, kept while batches pass by: one pass, k patches for each prototype in memory.

P prototypes, B images of a batch, H x W cells; maps of one size, as those of one branch.  Each image competes with its
best patch.  Ties go to the image seen first, so the result does not depend on the size of the batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class NearestPatches:
    """The nearest patches of each prototype, nearest first.

    Args:
        similarity: [P,k] as projection measures it; -inf where there were fewer than k images.
        image: [P,k] index, -1 where there were fewer.
        label: [P,k] class of the image, -1 where there were fewer.
        maps: [P,k,H,W] activation maps; None where they were not asked for.
    """

    similarity: Tensor
    image: Tensor
    label: Tensor
    maps: Tensor | None = None

    def first(self, k: int) -> NearestPatches:
        """The k nearest; equal ones stay in their order."""
        order = self.similarity.sort(dim=1, descending=True, stable=True).indices[:, :k]
        rows = torch.arange(len(order), device=order.device)[:, None]
        maps = None if self.maps is None else self.maps[rows, order]
        return NearestPatches(self.similarity[rows, order], self.image[rows, order], self.label[rows, order], maps)

    def with_more(self, other: NearestPatches) -> NearestPatches:
        """Both side by side."""
        return NearestPatches(
            torch.cat([self.similarity, other.similarity], 1),
            torch.cat([self.image, other.image], 1),
            torch.cat([self.label, other.label], 1),
            None if self.maps is None or other.maps is None else torch.cat([self.maps, other.maps], 1),
        )

    def filled(self, k: int) -> NearestPatches:
        """With empty places up to k."""
        missing = k - self.image.shape[1]
        similarity = F.pad(self.similarity, (0, missing), value=-torch.inf)
        empty = similarity == -torch.inf
        return NearestPatches(
            similarity,
            F.pad(self.image, (0, missing)).masked_fill(empty, -1),
            F.pad(self.label, (0, missing)).masked_fill(empty, -1),
            None if self.maps is None else F.pad(self.maps, (0, 0, 0, 0, 0, missing)),
        )


class Nearest:
    """Keeps the k nearest patches of each of P prototypes.

    Args:
        k: At least 1.
        prototypes: Their number P.
    """

    def __init__(self, k: int, prototypes: int) -> None:
        self.k = k
        self._nearest: NearestPatches | None = None
        self._none = torch.zeros(prototypes, 0)

    def update(
        self,
        similarity: Tensor,
        images: Tensor,
        labels: Tensor,
        maps: Tensor | None = None,
        allowed: Tensor | None = None,
    ) -> None:
        """Let the images of a batch compete.

        Args:
            similarity: [B,P] of the best patch of each image.
            images: [B] their indices.
            labels: [B] their classes.
            maps: [B,P,H,W] activation maps.
            allowed: [B,P] which images compete for which prototypes; all for all by default.
        """
        best = similarity if allowed is None else similarity.masked_fill(~allowed, -torch.inf)
        batch = NearestPatches(
            best.T,
            images[None].expand(best.shape[1], -1),
            labels[None].expand(best.shape[1], -1),
            None if maps is None else maps.transpose(0, 1),
        ).first(self.k)
        self._nearest = batch if self._nearest is None else self._nearest.with_more(batch).first(self.k)

    def patches(self) -> NearestPatches:
        """What was kept, [P,k]."""
        nearest = self._nearest or NearestPatches(self._none, self._none.long(), self._none.long())
        return nearest.filled(self.k)
