"""A plain classifier on the backbone of a preset: what the prototypes cost in accuracy.

Average pooling and one linear layer on the same features, same images, same augmentation, same batch size, and as
many epochs as the preset trains its backbone; Adam with cosine decay, learning rates 1e-3 (backbone) and 3e-3.

    python benchmarks/plain_classifier.py --config planted-protopnet --data data/planted-birds
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from protoexplain.config import resolve
from protoexplain.data.dataset_view import view_of_run
from protoexplain.data.loading import ImageDataset, batches
from protoexplain.data.orders import epoch_order
from protoexplain.data.picture_store import PictureStore
from protoexplain.models.backbones import Backbone
from protoexplain.models.pooled import PooledClassifier
from protoexplain.models.registry import get_family


@torch.inference_mode()
def accuracy(model: nn.Module, dataset: ImageDataset) -> float:
    model.eval()
    right = 0
    for batch in batches(dataset, range(len(dataset)), 32):
        right += int((model(batch.images[:, 0]).logits.argmax(1) == batch.labels).sum())
    return right / len(dataset)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="planted-protopnet")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, help="default: the epochs in which the preset trains its backbone")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = resolve(arguments.config, arguments.assignments)
    stages = get_family(config.family).stages(config.schedule)
    epochs = arguments.epochs or sum(stage.epochs for stage in stages if "backbone" in stage.lr)
    data = view_of_run(config.data, arguments.data)
    torch.manual_seed(config.training.seed)
    model = PooledClassifier(Backbone(config.model.backbone), len(data.image_set.classes))
    rows = [
        {"params": [*model.backbone.parameters()], "lr": 1e-3},
        {"params": [*model.norm.parameters(), *model.head.parameters()], "lr": 3e-3},
    ]
    optimizer = torch.optim.Adam(rows, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    pictures = data.dataset(data.train, config.data, "light", config.training.seed, PictureStore(1 << 30))
    test = data.dataset(data.test, config.data)
    started = time.perf_counter()
    for epoch in range(epochs):
        pictures.set_epoch(epoch)
        model.train()
        for batch in batches(
            pictures, epoch_order(len(pictures), config.training.seed, epoch), config.training.batch_size
        ):
            loss = F.cross_entropy(model(batch.images[:, 0]).logits, batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        print(f"epoch {epoch + 1}/{epochs}: loss {loss.item():.3f}, {time.perf_counter() - started:.0f} s", flush=True)
    print(f"plain classifier after {epochs} epochs: test accuracy {accuracy(model, test):.1%}")


if __name__ == "__main__":
    main()
