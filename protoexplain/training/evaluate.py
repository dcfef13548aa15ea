"""Accuracy of a checkpoint on the test images of a data set."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import matching_view
from protoexplain.data.loading import ImageDataset, batches
from protoexplain.errors import UserError
from protoexplain.progress import Silent, Watcher

BATCH = 32


@dataclass(frozen=True)
class Evaluation:
    """Accuracies in [0, 1].

    Args:
        images: Test images.
        accuracy: Share whose best class is right.
        top5: Share whose five best classes hold the right one.
        balanced: Mean over classes of each class's accuracy.
        by_class: Class name -> accuracy, None without test images.
        confusions: (true class, predicted class, images), the most frequent first.
        problems: Files that could not be read.
        notices: What is to be known about which images these are.
    """

    images: int
    accuracy: float
    top5: float
    balanced: float
    by_class: dict[str, float | None]
    confusions: tuple[tuple[str, str, int], ...]
    problems: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_text(self) -> str:
        lines = [
            f"{self.images} test images",
            f"accuracy           {self.accuracy:7.1%}",
            f"among the best 5   {self.top5:7.1%}",
            f"mean over classes  {self.balanced:7.1%}",
        ]
        if self.confusions:
            lines.append("most frequent confusions")
            lines += [f"  {count:3} x {true} taken for {predicted}" for true, predicted, count in self.confusions]
        return "\n".join([*lines, *self.notices, *self.problems])


@torch.inference_mode()
def evaluate(
    checkpoint: Path | Checkpoint,
    data: Path,
    watcher: Watcher | None = None,
    device: str | torch.device = "cpu",
) -> Evaluation:
    """Classify all test images.

    Args:
        checkpoint: Folder, or loaded.
        data: Data set with the same classes.
        watcher: Is shown the progress.
        device: Where the model runs.

    Raises:
        UserError: Unreadable, or other classes than the model's.
    """
    from torchmetrics.classification import MulticlassConfusionMatrix

    loaded = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint.load(checkpoint)
    config, shown = loaded.config, watcher or Silent()
    view = matching_view(loaded, data)
    if not view.test:
        raise UserError("there is no test image", str(data), "protoexplain data check says what was found")
    model = loaded.model(device)
    dataset = ImageDataset(view.test, view.crop, config.data.image_size)
    confusion = MulticlassConfusionMatrix(num_classes=len(loaded.classes))
    top5 = done = 0
    for batch in batches(dataset, range(len(dataset)), BATCH):
        logits = model(batch.images[:, 0].to(device)).logits.cpu()
        confusion.update(logits.argmax(1), batch.labels)
        best = logits.topk(min(5, logits.shape[1])).indices
        top5 += int((best == batch.labels[:, None]).any(1).sum())
        done += len(batch.labels)
        shown.progress("classifying test images", done, len(dataset))
    found = _summary(confusion.compute(), top5 / done, loaded.classes)
    return replace(found, problems=view.problems, notices=view.notices)


def _summary(counts: torch.Tensor, top5: float, classes: tuple[str, ...]) -> Evaluation:
    totals, right = counts.sum(1), counts.diagonal()
    shares = [float(r) / float(t) if t else None for r, t in zip(right, totals, strict=True)]
    known = [share for share in shares if share is not None]
    wrong = counts.clone().fill_diagonal_(0)
    order = wrong.flatten().argsort(descending=True, stable=True)[:5].tolist()
    pairs = [divmod(index, len(classes)) for index in order]
    return Evaluation(
        images=int(counts.sum()),
        accuracy=float(right.sum()) / float(counts.sum()),
        top5=top5,
        balanced=sum(known) / len(known) if known else math.nan,
        by_class=dict(zip(classes, shares, strict=True)),
        confusions=tuple((classes[t], classes[p], int(wrong[t, p])) for t, p in pairs if wrong[t, p]),
    )
