"""The model of several benchmarks: a ProtoPNet on drawn birds, its prototypes near patches of different images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from protoexplain.config import RunConfig, parse
from protoexplain.data.dataset_view import DatasetView, view_of_run
from protoexplain.data.loading import ImageDataset, batches
from protoexplain.data.picture_store import PictureStore
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family
from protoexplain.planted import draw

PER_CLASS, BATCH = 10, 32
LITE0 = {"name": "tf_efficientnet_lite0", "stride": 16}
RESNET34 = {"name": "resnet34", "stride": 32, "weights": "none"}


@dataclass(frozen=True)
class ModelOnBirds:
    """A configuration, its data and a model in eval mode."""

    title: str
    config: RunConfig
    data: DatasetView
    model: PrototypeModel

    def dataset(self, augmentation: str = "none") -> ImageDataset:
        """The training images; nothing is decoded yet."""
        return self.data.dataset(self.data.train, self.config.data, augmentation, store=PictureStore(1 << 30))

    def batches(self, dataset: ImageDataset) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Images, labels and indices in order."""
        for batch in batches(dataset, range(len(dataset)), BATCH):
            yield batch.images[:, 0], batch.labels, batch.indices


def model_on_birds(folder: Path, quick: bool, backbone: Mapping[str, object] = LITE0) -> ModelOnBirds:
    """Draw 20 classes x 16 training images of 224 px (kept in the folder) and build a model with 200 prototypes."""
    classes, each, size = (2, 10, 64) if quick else (20, 16, 224)
    draw(folder, classes=classes, train_per_class=each, test_per_class=1, size=size)
    config = parse(
        {
            "family": "protopnet",
            "model": {
                "backbone": backbone,
                "prototypes_per_class": PER_CLASS,
                "feature_norm": backbone is LITE0,
            },
            "schedule": {"warm_epochs": 1, "projections": [1]},
            "data": {"path": str(folder), "image_size": size, "augmentation": "none", "validation": 0},
            "training": {"batch_size": BATCH},
        }
    )
    data = view_of_run(config.data)
    torch.manual_seed(0)
    model = get_family("protopnet").build(config.model, classes).eval()
    birds = ModelOnBirds(f"{backbone['name']} at stride {backbone['stride']}", config, data, model)
    _settle_prototypes(birds)
    return birds


@torch.inference_mode()
def _settle_prototypes(birds: ModelOnBirds) -> None:
    """Put each prototype near a random patch of another image of its class: projection then has most to cut out."""
    (_, branch), *_ = birds.model.named_branches()
    taken = [0] * birds.model.classes
    for images, labels, _ in birds.batches(birds.dataset()):
        maps = branch.addon(birds.model.backbone(images)).flatten(2)
        for latent, label in zip(maps, labels.tolist(), strict=True):
            if taken[label] < PER_CLASS:
                row = label * PER_CLASS + taken[label]
                cell = int(torch.randint(latent.shape[1], ()))
                branch.prototypes.data[row, :, 0, 0] = latent[:, cell] + 0.01 * torch.randn(len(latent))
                taken[label] += 1
