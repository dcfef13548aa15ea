"""Small data sets and checkpoints for tests of the app, made in seconds: prototypes are training patches, only the
head is fitted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from filelock import FileLock

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.save import save_checkpoint
from protoexplain.config import parse
from protoexplain.data.dataset_view import DatasetView, view_of_run
from protoexplain.data.loading import ImageDataset, batches
from protoexplain.models.activation_statistics import RunningStatistics
from protoexplain.models.base import PrototypeModel
from protoexplain.models.contract import PROBABILITIES
from protoexplain.models.registry import get_family
from protoexplain.planted import draw
from protoexplain.training import projection
from protoexplain.training.provenance import data_info, provenance

PROTOPNET: Mapping[str, Any] = {"family": "protopnet", "model": {"prototypes_per_class": 4}}
CBC: Mapping[str, Any] = {"family": "cbc", "model": {}}


def sample_birds(folder: Path) -> Path:
    """Four classes of planted birds with boxes."""
    draw(folder, classes=4, train_per_class=6, test_per_class=3, size=96)
    return folder


def samples(shared_folder: Path) -> tuple[Path, Path]:
    """Birds, and a folder of a ProtoPNet and a CBC on them; made once in a session, not to be changed."""
    birds, checkpoints = shared_folder / "sample-birds", shared_folder / "samples"
    with FileLock(shared_folder / "samples.lock"):
        if not (checkpoints / "b-cbc").exists():
            sample_birds(birds)
            sample_checkpoint(checkpoints / "a-protopnet", birds, PROTOPNET)
            sample_checkpoint(checkpoints / "b-cbc", birds, CBC)
    return birds, checkpoints


def sample_checkpoint(
    folder: Path,
    data: Path,
    recipe: Mapping[str, Any] = PROTOPNET,
    *,
    image_size: int = 96,
    steps: int = 60,
    class_names: Mapping[int, str] | None = None,
) -> Checkpoint:
    """A checkpoint of a family on a data set.

    Args:
        folder: To be made.
        data: Folder of the data set.
        recipe: Family, and the options of its model.
        image_size: Side of the pictures that the network sees.
        steps: Of the head.
        class_names: Label -> another name.
    """
    torch.manual_seed(0)
    config = parse({**recipe, "data": {"image_size": image_size, "validation": 0}})
    run_data = view_of_run(config.data, data)
    names = [(class_names or {}).get(i, name) for i, name in enumerate(run_data.image_set.classes)]
    family = get_family(config.family)
    model = family.build(config.model, len(names)).eval()
    loaded = _loaded(run_data, image_size)
    _start_from_patches(model, loaded)
    patches = projection.search(model, [loaded])
    before_projection = {name: branch.prototypes.detach().clone() for name, branch in model.named_branches()}
    if model.prototype_source.projected:
        projection.replace_prototypes(model, patches)
    _fit_head(model, loaded, steps)
    _look(model, loaded)
    written = model.prototype_source.projected
    described = provenance(model, patches, run_data.train, run_data.crop, image_size, projected=written)
    return save_checkpoint(
        folder,
        model=model,
        config=config,
        classes=names,
        data=data_info(run_data),
        records=described.records,
        pictures=described.pictures,
        before_projection=before_projection if written else {},
        split=run_data.split_ids,
        maps=described.maps,
        metrics={"test_accuracy": 0.875},
    )


@torch.no_grad()
def _look(model: PrototypeModel, loaded: tuple[torch.Tensor, ...]) -> None:
    running = RunningStatistics(len(loaded[0]))
    running.update(model.activation_maps(model.backbone(loaded[0])))
    model.set_statistics(running.statistics())


def _loaded(data: DatasetView, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    dataset = ImageDataset(data.train, data.crop, size)
    batch = next(batches(dataset, list(range(len(dataset))), len(dataset)))
    return batch.images[:, 0], batch.labels, batch.indices


@torch.no_grad()
def _start_from_patches(model: PrototypeModel, loaded: tuple[torch.Tensor, ...]) -> None:
    """Give every prototype a patch near the middle of an image of its class."""
    images, labels, _ = loaded
    features = model.backbone(images)
    start = 0
    for (_, branch), size in zip(model.named_branches(), model.branch_sizes(), strict=True):
        owned = model.ownership.owned[start : start + size]
        start += size
        if not model.prototype_source.projected:
            continue
        z = branch.addon(features)
        low, high = z.shape[2] // 4, max(3 * z.shape[2] // 4, 1)
        for i, classes in enumerate(owned):
            own = z[classes[labels]]
            image, row, column = i % len(own), *torch.randint(low, high, (2,)).tolist()
            branch.prototypes[i] = own[image, :, row, column].view_as(branch.prototypes[i])


def _fit_head(model: PrototypeModel, loaded: tuple[torch.Tensor, ...], steps: int) -> None:
    """Some steps by gradient, of heads that are learned so."""
    images, labels, _ = loaded
    if "head" not in model.parameter_groups():
        return
    with torch.no_grad():
        activations = model.activations(model.backbone(images))
    optimizer = torch.optim.Adam(model.parameter_groups()["head"], lr=0.05)
    for _ in range(steps):
        scores = model.from_activations(activations).logits
        loss = (
            -scores.gather(1, labels[:, None]).log().mean()
            if model.score_unit is PROBABILITIES
            else (F.cross_entropy(scores, labels))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
