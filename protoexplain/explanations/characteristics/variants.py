"""The pictures of one image that a network compares: as it is, and with one thing changed in each.

Nauta et al. 2020 modify the cut image at its native size and resize afterwards; so does this.  Non-local means takes
longer than all else together, and its results are kept on disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
import torch
from torch import Tensor

from protoexplain.data.augmentation import resized
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS, RGB, Modification
from protoexplain.io.cache import DiskCache, cache_folder

Change = tuple[str, float]
"""Name and strength."""
PUBLISHED: Final[tuple[Change, ...]] = tuple((name, entry.strength) for name, entry in MODIFICATIONS.items())
MOVES: Final[dict[str, Modification]] = {
    entry.name: entry
    for entry in (
        Modification("move down", "place of the image", 1.0, 0.0, 8.0, 0.0, "pixels", lambda rgb, by: _rolled(rgb, by)),
        Modification("move up", "place of the image", 1.0, 0.0, 8.0, 0.0, "pixels", lambda rgb, by: _rolled(rgb, -by)),
    )
}
"""Changes that nobody sees: they tell how much a similarity wavers by itself."""
_ALL: Final = {**MODIFICATIONS, **MOVES}
_SLOW: Final = "texture"


def _rolled(rgb: RGB, pixels: float) -> RGB:
    """Down and to the right; what leaves the picture comes in opposite."""
    return np.roll(rgb, int(pixels), axis=(0, 1))


def texture_cache() -> DiskCache:
    """The cache of smoothed pictures, in the user's cache folder."""
    return DiskCache(cache_folder() / "textures")


def variants(rgb: RGB, size: int, changes: Iterable[Change] = PUBLISHED, cache: DiskCache | None = None) -> Tensor:
    """The picture and its changed versions.

    Args:
        rgb: The cut image at native size, uint8 [H,W,3].
        size: Side S of the network's input.
        changes: M names and strengths.
        cache: Of slow results; without it they are computed anew.

    Returns:
        uint8 [1+M,3,S,S], the unchanged picture first.
    """
    pictures = [rgb, *(changed(rgb, name, strength, cache) for name, strength in changes)]
    stacked = np.stack([resized(picture, size).rgb for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2)


def changed(rgb: RGB, name: str, strength: float, cache: DiskCache | None) -> RGB:
    """One changed version of a picture [H,W,3]; the cache holds its difference from the picture."""
    modification = _ALL[name]
    if cache is None or name != _SLOW or strength == modification.neutral:
        return modification(rgb, strength)
    key = hashlib.sha256(f"{name} {strength!r} {rgb.shape}".encode() + rgb.tobytes()).hexdigest()
    known = cache.get(key)
    if known is not None and len(known) == rgb.nbytes:
        return rgb + np.frombuffer(known, np.uint8).reshape(rgb.shape)
    result = modification(rgb, strength)
    cache.put(key, (result - rgb).tobytes())
    return result
