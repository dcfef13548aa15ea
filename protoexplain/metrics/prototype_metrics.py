"""Metrics in the style of torchmetrics, for a loop of one's own: ``update`` with batches, then ``compute``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.records import ImageRecord
from protoexplain.errors import UserError
from protoexplain.metrics.base import MetricResult
from protoexplain.metrics.observe.images import Images
from protoexplain.metrics.observe.needs import missing_needs
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.observe.observer import Networks
from protoexplain.metrics.observe.patches import TrainingPatches
from protoexplain.metrics.observe.plan import plan_passes
from protoexplain.metrics.parse_settings import parse_settings
from protoexplain.metrics.registry import get_metric
from protoexplain.metrics.runner import measurable
from protoexplain.progress import Silent


class PrototypeMetrics:
    """Any metrics of a model, over batches of images in memory; all metrics share the passes over a batch.

    Args:
        checkpoint: The model.
        names: Of the metrics; `list_metrics` names all.
        settings: Keys of `MeasureSettings`, and metric name -> table of its own settings.
        device: On which the model runs.

    Raises:
        UserError: Unknown metric or setting, or a metric that needs images without parts.

    Example:
        >>> import protoexplain as px
        >>> import torch
        >>> model = px.load("checkpoints/planted-protopnet", device="cpu")
        >>> metrics = px.PrototypeMetrics(model.checkpoint, ["accuracy"])
        >>> metrics.update(model.preprocess("bird.jpg"), torch.tensor([0]))
        >>> metrics.compute()["accuracy"].score.value
        1.0
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        names: Sequence[str],
        settings: Mapping[str, Any] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self._checkpoint, self._metrics = checkpoint, {name: get_metric(name) for name in names}
        for name, metric in self._metrics.items():
            if "interventions" in metric.needs:
                raise UserError(
                    f"{name} needs images without parts, and batches have none",
                    name,
                    "measure a data set that has them",
                )
        self._settings, self._own = parse_settings(settings or {}, names)
        kinds = {kind for metric in self._metrics.values() for kind in metric.passes}
        self._passes = plan_passes(kinds, self._settings)
        self._device = torch.device(device)
        self._networks = Networks.of(checkpoint, kinds, self._settings, self._device)
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._records: list[ImageRecord] = []
        self._geometries: list[Geometry] = []
        self._columns: dict[str, defaultdict[str, list[Tensor]]] = {one.name: defaultdict(list) for one in self._passes}

    @torch.no_grad()
    def update(
        self,
        images: Tensor,
        labels: Tensor,
        records: Sequence[ImageRecord] | None = None,
        geometries: Sequence[Geometry] | None = None,
    ) -> None:
        """Observe a batch.

        Args:
            images: float [n,3,S,S] in [0, 1]; the model normalises them itself.
            labels: int64 [n] true classes.
            records: Ids and annotations of the images, for metrics that need parts, masks or boxes; by default the
                images are numbered.
            geometries: How the source images of the records became inputs; by default they are the inputs.

        Raises:
            UserError: The images have another size than the model's input.
        """
        size = self._networks.description.size
        if images.shape[1:] != (3, size, size):
            raise UserError(f"images of shape {list(images.shape)}", "update", f"give images [n,3,{size},{size}]")
        start, labels = len(self._records), labels.cpu()
        records = records or [
            ImageRecord(f"{start + number:08}", Path(), label, "test") for number, label in enumerate(labels.tolist())
        ]
        geometries = geometries or [Geometry(Box(0, 0, size, size), size)] * len(records)
        chunk = self._networks.chunk(images.to(self._device), labels, records, geometries)
        for one in self._passes:
            for column, values in one(chunk).items():
                self._columns[one.name][column].append(values.cpu())
        self._records.extend(records)
        self._geometries.extend(geometries)

    def compute(self) -> dict[str, MetricResult]:
        """Metric -> its result over all batches since the last `reset`.

        Raises:
            UserError: No batch so far, or a metric needs something that records or checkpoint do not have.
        """
        if not self._records:
            raise UserError("there is nothing to compute metrics from", "compute", "call update with a batch before")
        records, size, crop = tuple(self._records), self._networks.description.size, self._checkpoint.data.crop
        part_names = tuple(records[0].parts or ())
        images = Images("given to update", records, tuple(self._geometries), crop, size, part_names, ())
        measurable(list(self._metrics), missing_needs(self._checkpoint, images, None), True, Silent())
        columns = {
            name: {column: torch.cat(values) for column, values in table.items()}
            for name, table in self._columns.items()
        }
        observed = Observations(
            self._networks.description,
            images.ids,
            images.labels,
            columns,
            self._settings,
            images.fingerprint,
            images.parts(),
            patches=TrainingPatches(self._checkpoint.prototypes, (), crop),
        )
        return {name: metric.measure(name, observed, self._own[name]) for name, metric in self._metrics.items()}
