"""Let prototypes start from training patches instead of random numbers: each from another image of its class.

Random prototypes lie far from all features of a fresh network, and their similarities say little for many epochs.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.components import ComponentNet
from protoexplain.models.parts import PartClassifier
from protoexplain.models.pooled import PooledClassifier
from protoexplain.models.similarity import gather_patches, map_size
from protoexplain.training.component_start import start_components
from protoexplain.training.part_start import (
    parts_of_images,
    start_from_parts,
    start_part_classifier,
    use_batch_statistics,
)
from protoexplain.training.trainer import Trainer

_CHOICE = 3
"""Stream of random numbers, beside those of order and pictures."""


def start(run: Trainer, first: PrototypeModel) -> None:
    """Give the prototypes of a fresh model their first values, as configured.

    Args:
        run: Its model is fresh.
        first: What its first stage trains.

    Raises:
        UserError: Prototypes shall start from parts that nothing looks for.
    """
    how = run.config.model.start  # type: ignore[attr-defined]
    if isinstance(run.model, PartClassifier):
        start_part_classifier(run, run.model)
    elif isinstance(run.model, PooledClassifier):
        pass
    elif how == "parts":
        if not isinstance(first, PartClassifier):
            fix = "set training.fine_tuning.epochs and training.fine_tuning.parts"
            raise UserError("prototypes can only start from parts that were looked for", "model.start", fix)
        if isinstance(run.model, ComponentNet):
            start_components(run.model, first, parts_of_images(run, first), run.config.training.seed)
        else:
            start_from_parts(run, first)
    elif how == "patches" and "prototypes" in run.model.parameter_groups():
        start_from_patches(run)


@torch.no_grad()
def start_from_patches(run: Trainer) -> None:
    """Write a random cell of a random training image of its class into each prototype.

    Prototypes of a class come from different images as far as there are enough.  The add-on works on batch
    statistics here, since it has seen no image yet.
    """
    model, rng = run.model, np.random.default_rng([_CHOICE, run.config.training.seed])
    by_class: dict[int, list[int]] = defaultdict(list)
    for index, record in enumerate(run.data.train):
        by_class[record.label].append(index)
    everything = list(range(len(run.data.train)))
    images = np.empty(model.num_prototypes, dtype=int)
    owners = model.ownership.labels
    for label in owners.unique().tolist():
        own = (owners == label).nonzero()[:, 0].cpu().numpy()
        candidates = by_class.get(label) or everything
        images[own] = np.resize(rng.permutation(candidates), len(own))
    places = rng.random((model.num_prototypes, 2))
    dataset = run.dataset(run.data.train, augmented=False)
    model.backbone.eval()
    for branch_rows, (_, branch) in zip(
        np.split(np.arange(model.num_prototypes), np.cumsum(model.branch_sizes())[:-1]),
        model.named_branches(),
        strict=True,
    ):
        use_batch_statistics(branch.addon)
        chosen = images[branch_rows]
        order = rng.permutation(np.unique(chosen)).tolist()
        patches: dict[int, Tensor] = {}
        for batch in run.pictures.loader.batches(dataset, order, run.config.training.batch_size):
            z = branch.addon(model.backbone(run.fabric.to_device(batch.images[:, 0])))
            for b, index in enumerate(batch.indices.tolist()):
                for row in np.flatnonzero(chosen == index):
                    patches[int(row)] = _patch(branch, z[b : b + 1], places[branch_rows[row]])
        stacked = torch.stack([patches[row] for row in range(len(branch_rows))])
        branch.prototypes.data = branch.similarity.written(stacked).view_as(branch.prototypes)


def _patch(branch: Branch, z: Tensor, place: np.ndarray) -> Tensor:
    """The latent patch [D*h*w] of z [1,D,H,W] at a place in [0, 1)^2."""
    one = branch.prototypes[:1]
    height, width = map_size(z, one)
    cell = int(place[0] * height) * width + int(place[1] * width)
    return gather_patches(z, one, torch.tensor([[cell]], device=z.device))[0, 0]
