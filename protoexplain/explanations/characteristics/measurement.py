"""One pass over the images of a data set that measures the characteristics of all prototypes.

Every image is shown as it is, with the published changes, with the calibrated ones and moved by a pixel, all in one
forward pass.  What was measured is kept on disk image by image, so that an interrupted pass goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from torch import Tensor

from protoexplain.data.check import for_each
from protoexplain.data.loading import Crop, geometry_of
from protoexplain.data.records import ImageRecord
from protoexplain.explanations.characteristics.calibration import (
    StrengthCalibration,
    disturbance,
    equal_strength,
    ladder,
    related,
)
from protoexplain.explanations.characteristics.global_scores import (
    CONFIDENCE,
    RESAMPLES,
    estimate,
    known,
    weighted_mean,
)
from protoexplain.explanations.characteristics.local_scores import activations_at_peak
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS, RGB
from protoexplain.explanations.characteristics.table import Characteristics, ScoreTable
from protoexplain.explanations.characteristics.variants import MOVES, PUBLISHED, Change, texture_cache, variants
from protoexplain.io.cache import DiskCache, cache_folder
from protoexplain.io.images import load_image
from protoexplain.models.base import PrototypeModel

SAMPLE: Final = 32
"""Images on which strengths are tried."""
CHUNK: Final = 8
"""Images that are measured and kept together."""
MAX_TABLE_BYTES: Final = 4 << 30
_VERSION: Final = 1  # to be raised when the same pictures give other scores

Progress = Callable[[str, int, int], None]


def table_cache() -> DiskCache:
    """The cache of measured scores, in the user's cache folder."""
    return DiskCache(cache_folder() / "characteristics", MAX_TABLE_BYTES)


@dataclass(frozen=True)
class CharacteristicsMeasurement:
    """What is measured, and where slow results are kept.

    Args:
        model: In eval mode.
        weights_id: Names its weights, as `Checkpoint.weights_sha256`.
        crop: How images are cut.
        size: Side of the network's input.
        progress: Called as progress(what, images done, images in all).
        textures: Cache of smoothed pictures.
        tables: Cache of scores.
    """

    model: PrototypeModel
    weights_id: str
    crop: Crop
    size: int
    progress: Progress
    textures: DiskCache = field(default_factory=texture_cache)
    tables: DiskCache = field(default_factory=table_cache)

    def run(self, records: Sequence[ImageRecord], split: str, fingerprint: str) -> Characteristics:
        """Measure the characteristics over the given images.

        Args:
            records: All that count, of any class.
            split: Name of the split that they are, for the report.
            fingerprint: Of the data set.

        Raises:
            UserError: An image cannot be read.
        """
        strengths = self.equal_strengths(records)
        changes = [*PUBLISHED, *strengths.items(), *((name, move.strength) for name, move in MOVES.items())]
        activations, scores = self.measure(records, changes, "measuring characteristics")
        labels = torch.tensor([record.label for record in records])
        own = related(self.model.class_weights().cpu(), labels)
        count = len(MODIFICATIONS)
        published, equal, moved = scores[:, :count], scores[:, count : 2 * count], scores[:, 2 * count :]
        weights = activations.clamp_min(0) * own
        scale = disturbance(equal, ~own)
        calibration = StrengthCalibration(
            strengths,
            dict(zip(MODIFICATIONS, scale.tolist(), strict=True)),
            tuple(map(known, weighted_mean(moved.square(), weights).mean(1).sqrt().tolist())),
        )
        typical = weighted_mean(activations[:, None], weights)[:, 0]
        return Characteristics(
            split=split,
            fingerprint=fingerprint,
            images=len(records),
            names=tuple(MODIFICATIONS),
            calibration=calibration,
            published=ScoreTable.of(estimate(published, activations)),
            calibrated=ScoreTable.of(estimate(calibration.calibrated(equal), weights)),
            activation=tuple(map(known, typical.tolist())),
            matched_images=tuple((weights > 0).sum(0).tolist()),
            confidence=CONFIDENCE,
            resamples=RESAMPLES,
        )

    def equal_strengths(self, records: Sequence[ImageRecord]) -> dict[str, float]:
        """Strengths of changes that disturb unrelated prototypes as much as the strongest published one does."""
        step = max(1, len(records) // SAMPLE)
        sample = records[::step][:SAMPLE]
        rungs: list[Change] = [(name, strength) for name in MODIFICATIONS for strength in ladder(name).values()]
        _, scores = self.measure(sample, [*PUBLISHED, *rungs], "comparing strengths")
        labels = torch.tensor([record.label for record in sample])
        found = disturbance(scores, ~related(self.model.class_weights().cpu(), labels))
        published, candidates = found[: len(PUBLISHED)], found[len(PUBLISHED) :].view(len(MODIFICATIONS), -1)
        target = float(published.max())
        return {
            name: equal_strength(name, row.tolist(), target)
            for name, row in zip(MODIFICATIONS, candidates, strict=True)
        }

    def measure(self, records: Sequence[ImageRecord], changes: Sequence[Change], what: str) -> tuple[Tensor, Tensor]:
        """Activations [N,P] of the unchanged images and scores [N,M,P] of M changes."""
        tables = []
        for start in range(0, len(records), CHUNK):
            chunk = records[start : start + CHUNK]
            tables.append(self._table(chunk, changes))
            self.progress(what, start + len(chunk), len(records))
        table = torch.cat(tables)
        return table[:, 0], table[:, 1:]

    def _table(self, records: Sequence[ImageRecord], changes: Sequence[Change]) -> Tensor:
        """[n,1+M,P]: activations, then scores; from the cache where they were measured before."""
        crops = for_each(records, self._crop)
        shape = (len(records), 1 + len(changes), self.model.num_prototypes)
        key = self._key(crops, changes)
        cached = self.tables.get(key)
        if cached is not None and len(cached) == 4 * math.prod(shape):
            return torch.from_numpy(np.frombuffer(cached, np.float32).reshape(shape).copy())
        pictures = for_each(crops, lambda rgb: variants(rgb, self.size, changes, self.textures))
        activations, _ = activations_at_peak(self.model, torch.stack(pictures))
        table = torch.cat([activations[:, :1], activations[:, :1] - activations[:, 1:]], 1).float()
        self.tables.put(key, table.numpy().tobytes())
        return table

    def _key(self, crops: Sequence[RGB], changes: Sequence[Change]) -> str:
        """Names the scores by all that they depend on."""
        digest = hashlib.sha256(f"{_VERSION} {self.weights_id} {self.size} {changes!r}".encode())
        for rgb in crops:
            digest.update(repr(rgb.shape).encode() + rgb.tobytes())
        return digest.hexdigest()

    def _crop(self, record: ImageRecord) -> RGB:
        loaded = load_image(record.path)
        return loaded.region(geometry_of(record, loaded.size, self.crop, self.size).crop.as_list())
