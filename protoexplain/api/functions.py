"""`load`, `explain`, `measure`, `train` and what there is to choose from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import timm
from pydantic import ValidationError
from torch.utils.data import Dataset

from protoexplain.api.explained import ImageExplanation
from protoexplain.api.image_explanations import ImageExplanations
from protoexplain.api.images import ImageLike
from protoexplain.api.loaded import LoadedModel
from protoexplain.api.measuring import measure_dataset
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.config import RunConfig, preset_names, resolve
from protoexplain.devices import resolve_device
from protoexplain.errors import UserError
from protoexplain.fabric import make_fabric
from protoexplain.io.manifest import first_mistake
from protoexplain.metrics import runner
from protoexplain.metrics.base import MetricResult
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import family_names, get_family
from protoexplain.progress import Watcher
from protoexplain.training import run

ModelLike = LoadedModel | Checkpoint | str | Path
"""A loaded model, a checkpoint, or the folder of one."""


def load(checkpoint: str | Path | Checkpoint, device: str = "auto") -> LoadedModel:
    """Load a trained model.

    Args:
        checkpoint: Folder, or loaded.
        device: ``auto``, ``cpu``, ``cuda`` ...

    Raises:
        UserError: The checkpoint is damaged, or there is no such device.
    """
    return LoadedModel(checkpoint, device)


def explain(
    model: ModelLike, image: ImageLike, *, class_name: str | None = None, rows: int = 5, device: str = "auto"
) -> ImageExplanation:
    """Explain what a model says about one image.

    Args:
        model: See `ModelLike`.
        image: A file, a PIL image, an array [H,W,3] or a tensor [3,H,W]; whole numbers are 0 to 255, others 0 to 1.
        class_name: The class to explain; the best one by default.
        rows: Prototypes at most.
        device: Where a model that is yet to be loaded runs.

    Raises:
        UserError: The model or the image cannot be read, or the model has no such class.
    """
    return _loaded(model, device).explain(image, class_name=class_name, rows=rows)


def explain_many(
    model: ModelLike,
    images: Iterable[ImageLike] | Mapping[str, ImageLike],
    *,
    rows: int = 5,
    batch_size: int = 32,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> ImageExplanations:
    """Explain many images, each as `explain`; the model is loaded once and runs on batches.

    Args:
        model: See `ModelLike`.
        images: As in `explain`, or name -> image.
        rows: Prototypes at most, for each.
        batch_size: Images in one forward pass.
        device: As in `explain`.
        watcher: Is shown the progress, and which images were left out.

    Returns:
        An iterator that also gives one table of all rows, and names the images that could not be read.

    Raises:
        UserError: The model cannot be read, or the size of the batch is below 1.
    """
    return _loaded(model, device).explain_many(images, rows=rows, batch_size=batch_size, watcher=watcher)


def measure(
    model: ModelLike,
    data: str | Path | Dataset[Any],
    metrics: Sequence[str] | None = None,
    *,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> dict[str, MetricResult]:
    """Measure how far the explanations of a model can be trusted.

    Args:
        model: See `ModelLike`.
        data: Folder of a data set with the same classes, of which the test images are taken; or a torch data set of
            pairs (image, label), of which all are, see `measure_dataset`.
        metrics: Names as `list_metrics` gives them; by default all that the data allow.
        device: Where a model that is yet to be loaded runs.
        watcher: Is shown the progress, and which metrics and images were left out.

    Returns:
        Metric -> its value, interval and baselines.

    Raises:
        UserError: Unreadable, other classes, unknown metric, or annotations that a named metric needs are missing.
    """
    if isinstance(model, LoadedModel):
        checkpoint, where = model.checkpoint, model.explainer.device
    else:
        checkpoint = model if isinstance(model, Checkpoint) else Checkpoint.load(Path(model))
        where = resolve_device(device)
    if isinstance(data, str | Path):
        return runner.measure(checkpoint, Path(data), metrics, watcher=watcher, fabric=make_fabric(str(where)))
    return measure_dataset(checkpoint, data, metrics, where, watcher)


def train(
    config: str | Path | RunConfig,
    data: str | Path,
    out: str | Path,
    *,
    assignments: Sequence[str] = (),
    device: str = "auto",
    watcher: Watcher | None = None,
) -> LoadedModel:
    """Train a model.

    Args:
        config: Name of a preset, a YAML file, or a configuration.
        data: Folder of the data set.
        out: New folder of the run; the checkpoint lies in it.
        assignments: Changes such as ``schedule.warm_epochs=3``; not for a configuration, which is complete.
        device: Where the trained model is loaded; the training's own is part of its configuration.
        watcher: Is shown the progress.

    Raises:
        UserError: Unknown preset or keys, bad data, a folder in use; as `protoexplain.training.run.train`.
    """
    settings = config if isinstance(config, RunConfig) else resolve(config, assignments)
    result = run.train(settings, Path(out), data_path=Path(data), watcher=watcher)
    return LoadedModel(result.checkpoint, device)


def create_model(
    family: str,
    num_classes: int,
    backbone: str | None = None,
    *,
    pretrained: bool = True,
    **settings: Any,  # noqa: ANN401
) -> PrototypeModel:
    """An untrained model as a torch module; calling it with [B,3,S,S] in [0, 1] gives `PrototypeOutput`.

    Args:
        family: Name as `list_families` gives it.
        num_classes: How many.
        backbone: Name of a network as `list_backbones` gives it; the family's default otherwise.
        pretrained: Whether its weights are loaded.
        settings: Further keys of the family's configuration, such as ``prototypes_per_class=5``.

    Raises:
        UserError: Unknown family, network or key, or weights that cannot be found.
    """
    entry = get_family(family)
    if num_classes < 1:
        raise UserError(f"a model cannot have {num_classes} classes", "num_classes", "give 1 or more")
    named = {} if backbone is None else {"backbone": {"name": backbone}}
    try:
        config = entry.config.model_validate({**named, **settings})
    except ValidationError as error:
        raise UserError(first_mistake(error), f"create_model({family!r})", "correct this key") from error
    return entry.build(config, num_classes, None, pretrained)


def list_families() -> list[str]:
    """Names of the model families."""
    return family_names()


def list_presets(pattern: str = "*") -> list[str]:
    """Names of the presets for training that match a pattern such as ``quick-*``."""
    return [name for name in preset_names() if fnmatch(name, pattern)]


def list_backbones(pattern: str = "*") -> list[str]:
    """Names of the networks that can stand below the prototypes (timm's) that match a pattern such as ``resnet*``."""
    return [name for name in timm.list_models() if fnmatch(name, pattern)]


def _loaded(model: ModelLike, device: str) -> LoadedModel:
    return model if isinstance(model, LoadedModel) else LoadedModel(model, device)
