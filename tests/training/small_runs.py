"""Tiny projected models on a tiny data set of noise, with everything that belongs to a checkpoint."""

import numpy as np
import torch
from PIL import Image

from protoexplain.checkpoint.save import save_checkpoint
from protoexplain.checkpoint.split_ids import SplitIds
from protoexplain.config import parse
from protoexplain.data.dataset_view import DatasetView
from protoexplain.data.geometry import Box
from protoexplain.data.loading import batches
from protoexplain.data.records import ImageRecord, ImageSet
from protoexplain.models.registry import get_family
from protoexplain.training.projection import replace_prototypes, search
from protoexplain.training.provenance import data_info, provenance

CLASSES = ("Wren", "Robin", "Crow")
SIZE = 64
BACKBONE = {"name": "test_efficientnet", "stride": 16, "weights": "none"}


def draw(path, seed, size=(90, 70)):
    """Smooth noise, so that JPEG pictures resemble it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, "PNG")


def run_data(root, crop="box", classes=CLASSES, each=4):
    """`each` training images of 90 x 70 pixels per class, with boxes."""
    records = []
    for label, name in enumerate(classes):
        for i in range(each):
            draw(root / name / f"{i}.png", seed=label * 100 + i)
            records.append(
                ImageRecord(f"{name}/{i}.png", root / name / f"{i}.png", label, "train", Box(10 + i, 5, 80, 65 - label))
            )
    image_set = ImageSet("Noise", root, "folder", classes, tuple(records))
    return DatasetView(image_set, SplitIds(tuple(record.id for record in records), (), ()), crop)


def clean_batches(data, config, size=5):
    dataset = data.dataset(data.train, config.data)
    for batch in batches(dataset, range(len(dataset)), size):
        yield batch.images[:, 0], batch.labels, batch.indices


def fresh(family, classes=CLASSES, **model):
    config = parse(
        {
            "family": family,
            "model": {"backbone": BACKBONE, **get_family(family).tiny, **model},
            "data": {"image_size": SIZE},
        }
    )
    torch.manual_seed(0)
    return config, get_family(family).build(config.model, len(classes), None, load_weights=False).eval()


def project(config, model, data):
    """Patches, and the prototypes as they were before."""
    before_projection = {name: branch.prototypes.detach().clone() for name, branch in model.named_branches()}
    patches = search(model, clean_batches(data, config))
    if model.prototype_source.projected:
        replace_prototypes(model, patches)
    return patches, before_projection if model.prototype_source.projected else {}


def save(path, config, model, data, patches, before_projection, change=lambda records: records):
    origin = provenance(model, patches, data.train, data.crop, SIZE, projected=bool(before_projection))
    return save_checkpoint(
        path,
        model=model,
        config=config,
        classes=data.image_set.classes,
        data=data_info(data),
        records=change(origin.records),
        pictures=origin.pictures,
        before_projection=before_projection,
        split=data.split_ids,
        maps=origin.maps,
        metrics={},
    )
