"""`load`, `explain`, `measure`, `train` and what there is to choose from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from protoexplain.api.explained import ImageExplanation
from protoexplain.api.image_explanations import ImageExplanations
from protoexplain.api.images import ImageLike
from protoexplain.api.loaded import LoadedModel
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.config import RunConfig, preset_names, resolve
from protoexplain.devices import resolve_device
from protoexplain.errors import UserError
from protoexplain.importing.foreign import is_foreign
from protoexplain.io.manifest import first_mistake
from protoexplain.models.registry import family_names, get_family
from protoexplain.progress import Watcher

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from protoexplain.metrics.base import MetricResult
    from protoexplain.models.base import PrototypeModel

ModelLike = LoadedModel | Checkpoint | str | Path
"""A loaded model, a checkpoint, or the folder of one."""


def load(
    checkpoint: str | Path | Checkpoint,
    device: str = "auto",
    *,
    classes: Sequence[str] | None = None,
    data: str | Path | None = None,
    family: str | None = None,
    assignments: Sequence[str] = (),
) -> LoadedModel:
    """Load a trained model; every file is compared with its SHA-256, and nothing in it is executed.

    Models that the official code of ProtoPNet, TesNet, ST-ProtoPNet, EvalProtoPNet, ProtoPool, PIP-Net or CBC saved,
    and folders of CaBRNet, are imported into a temporary folder, which goes with the loaded model.

    Args:
        checkpoint: Folder of a checkpoint, or one that was read by `Checkpoint.load`; or a file of another program.
        device: ``auto`` (the best there is), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        classes: Of a file of another program: names by label, if no data are given.
        data: Of such a file: the data set that it was trained on, so that prototypes have pictures.
        family: Of such a file: whose code it is of, where its tensors do not tell.
        assignments: Of such a file: changes of what is assumed of it, such as ``data.image_size=192``.

    Returns:
        A torch module in eval mode: images [B,3,S,S] in [0, 1] -> class scores [B,C].

    Raises:
        UserError: No such checkpoint, a damaged one, no such device, or a file of another program that cannot be read
            safely or lacks something.

    Example:
        >>> import protoexplain as px
        >>> model = px.load("checkpoints/planted-protopnet", device="cpu")
        >>> len(model.classes), model.image_size
        (20, 160)
    """
    if isinstance(checkpoint, Checkpoint) or not is_foreign(Path(checkpoint)):
        return LoadedModel(checkpoint, device)
    from protoexplain.api.imported import load_foreign

    return load_foreign(Path(checkpoint), device, classes, data, family, assignments)


def explain(
    model: ModelLike, image: ImageLike, *, class_name: str | None = None, rows: int = 5, device: str = "auto"
) -> ImageExplanation:
    """Explain what a model says about one image: which prototypes it finds, where, and what each adds to the score.

    Args:
        model: A loaded model, a checkpoint, or the folder of one.
        image: A file, a PIL image, an array [H,W] or [H,W,3] or a tensor [3,H,W] of any size; whole numbers are 0 to
            255, others 0 to 1.  A model that was trained on boxes expects an image that is cut to the object.
        class_name: The class to explain; the best one by default.
        rows: Prototypes at most, by the size of what they add.
        device: Where a model that is yet to be loaded runs.

    Returns:
        Predictions, rows and pictures.  Similarities are in the unit of the family, evidence in logits or, for
        families whose scores are probabilities, in probability.

    Raises:
        UserError: The model or the image cannot be read, or the model has no such class.

    Example:
        >>> import protoexplain as px
        >>> model = px.load("checkpoints/planted-protopnet", device="cpu")
        >>> explanation = px.explain(model, "bird.jpg", rows=3)
        >>> explanation.predicted.name in model.classes
        True
        >>> [row.prototype for row in explanation.rows] == list(explanation.to_frame()["prototype"])
        True
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
        model: A loaded model, a checkpoint, or the folder of one.
        images: Images as for `explain`, or name -> image; an array [N,H,W,3] or a tensor [N,3,H,W] is N images.
        rows: Prototypes at most, for each image.
        batch_size: Images in one forward pass, at least 1.
        device: Where a model that is yet to be loaded runs.
        watcher: Is shown the progress in images, and which ones were left out; without it a warning tells.

    Returns:
        An iterator over the explanations in the order of the images; it also gives one table of all rows, and names
        the images that could not be read.

    Raises:
        UserError: The model cannot be read, or the size of the batch is below 1.

    Example:
        >>> import protoexplain as px
        >>> model = px.load("checkpoints/planted-protopnet", device="cpu")
        >>> table = px.explain_many(model, ["bird.jpg", "other.jpg"], rows=2, batch_size=2).to_frame()
        >>> table["image"].tolist()
        ['bird.jpg', 'bird.jpg', 'other.jpg', 'other.jpg']
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
        model: A loaded model, a checkpoint, or the folder of one.
        data: Folder of a data set with the model's classes, whose test images are taken; or a torch data set of pairs
            (image, label), all of which are taken.  Its images are as for `explain`; its labels are whole numbers
            from 0, the model's or, where the data set names its ``classes``, the numbers of these.
        metrics: Names as `list_metrics` gives them; by default all that the data allow.
        device: Where a model that is yet to be loaded runs.
        watcher: Is shown the progress, and which metrics and images were left out.

    Returns:
        Metric -> its result: ``score.value`` in its ``unit`` with the 95 % interval from ``score.low`` to
        ``score.high``, baselines, curves and settings.

    Raises:
        UserError: Unreadable, other classes, an unknown metric, or one that needs parts, masks or boxes which the
            data do not have.

    Example:
        >>> import protoexplain as px
        >>> from torch.utils.data import StackDataset
        >>> pairs = StackDataset(["bird.jpg", "other.jpg"], [0, 1])
        >>> result = px.measure("checkpoints/planted-protopnet", pairs, ["accuracy"], device="cpu")["accuracy"]
        >>> result.score.value, result.unit, result.score.n_used
        (1.0, '', 2)
    """
    if isinstance(model, LoadedModel):
        checkpoint, where = model.checkpoint, model.explainer.device
    else:
        checkpoint = model if isinstance(model, Checkpoint) else Checkpoint.load(Path(model))
        where = resolve_device(device)
    if isinstance(data, str | Path):
        from protoexplain.fabric import make_fabric
        from protoexplain.metrics import runner

        return runner.measure(checkpoint, Path(data), metrics, watcher=watcher, fabric=make_fabric(str(where)))
    from protoexplain.api.measuring import measure_dataset

    return measure_dataset(checkpoint, data, metrics, where, watcher)


def train(
    config: str | Path | RunConfig,
    data: str | Path,
    out: str | Path,
    *,
    assignments: Sequence[str] = (),
    minutes: float | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> LoadedModel:
    """Train a model.

    Args:
        config: Name of a preset, a YAML file, or a configuration.
        data: Folder of the data set: class folders, a table of pictures, or CUB-200-2011, Stanford Cars, Dogs or
            FunnyBirds as published.
        out: New folder of the run; the checkpoint lies in it.
        assignments: Changes such as ``schedule.warm_epochs=3``; not for a configuration, which is complete.
        minutes: Take as many epochs as fit into so many minutes, by a short test, at least one of each stage.
        device: Where the trained model is loaded; the training's own is ``training.accelerator``.
        watcher: Is shown the progress.

    Returns:
        The trained model.

    Raises:
        UserError: Unknown preset or keys, bad data, or a folder in use.

    Example:
        >>> import protoexplain as px
        >>> small = ["model.backbone.name=test_efficientnet", "model.backbone.weights=none",
        ...          "data.image_size=32", "schedule.warm_epochs=1", "schedule.projections=[1]",
        ...          "schedule.last_layer_epochs=1", "training.passes=1", "training.accelerator=cpu"]
        >>> model = px.train("cub-protopnet-resnet34", "birds", "run", assignments=small, device="cpu")
        >>> model.image_size
        32
    """
    from protoexplain.training import run

    settings = config if isinstance(config, RunConfig) else resolve(config, assignments)
    result = run.train(settings, Path(out), data_path=Path(data), minutes=minutes, watcher=watcher)
    return LoadedModel(result.checkpoint, device)


def export(model: ModelLike, to: str | Path) -> Path:
    """Write a model as one file that other programs run, without this program: ONNX, or an exported program of torch.

    The outputs are ``logits`` [B,C] (class scores), ``probabilities`` [B,C], ``activations`` [B,P] and ``maps``
    [B,P,H,W] in units of the activation; a model with several branches has ``maps_BRANCH`` for each.  The input is
    ``images`` [B,3,S,S] in [0, 1]; B is free.  The file says how pictures are prepared, the names of the classes and
    the SHA-256 of the checkpoint.  It is run and compared with the model before it is written.

    Args:
        model: A loaded model, a checkpoint, or the folder of one.
        to: New file that ends with ``.onnx`` (``pip install 'protoexplain[export]'``) or ``.pt2`` (torch alone).

    Returns:
        The file.

    Raises:
        UserError: The model cannot be read, the format is unknown or needs a package, there is such a file, the network
            cannot be written in this format, or it would give other numbers.

    Example:
        >>> import protoexplain as px
        >>> px.export("checkpoints/planted-protopnet", "birds.pt2").name
        'birds.pt2'
    """
    from protoexplain.exporting.run import export as export_checkpoint

    if isinstance(model, LoadedModel):
        model.require_unchanged(Path(to))
        model = model.checkpoint
    checkpoint = model if isinstance(model, Checkpoint) else Checkpoint.load(Path(model))
    return export_checkpoint(checkpoint, Path(to)).path


def create_model(
    family: str,
    num_classes: int,
    backbone: str | None = None,
    *,
    pretrained: bool = True,
    **settings: Any,  # noqa: ANN401
) -> PrototypeModel:
    """An untrained model as a torch module: images [B,3,S,S] in [0, 1] -> `PrototypeOutput`.

    Its ``logits`` are class scores [B,C], its ``activations`` those of all P prototypes [B,P].

    Args:
        family: Name as `list_families` gives it.
        num_classes: Number C of classes, at least 1.
        backbone: Name of a network as `list_backbones` gives it; the family's default otherwise.
        pretrained: Whether its weights are loaded.
        settings: Further keys of the family's configuration, such as ``prototypes_per_class=5``.

    Raises:
        UserError: Unknown family, network or key, or weights that cannot be found.

    Example:
        >>> import protoexplain as px
        >>> import torch
        >>> model = px.create_model("protopnet", 3, "resnet18", pretrained=False, prototypes_per_class=2)
        >>> output = model(torch.rand(4, 3, 64, 64))
        >>> output.logits.shape, output.activations.shape
        (torch.Size([4, 3]), torch.Size([4, 6]))
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
    """Names of the model families: the built-in ones, then those of installed packages.

    Example:
        >>> import protoexplain as px
        >>> px.list_families()[:3]
        ['cbc', 'evalprotopnet', 'nonparametric']
    """
    return family_names()


def list_presets(pattern: str = "*") -> list[str]:
    """Names of the presets for training.

    Args:
        pattern: Of shell style, which they match.

    Example:
        >>> import protoexplain as px
        >>> px.list_presets("cars-pro*")
        ['cars-protopnet-resnet34']
    """
    return [name for name in preset_names() if fnmatch(name, pattern)]


def list_backbones(pattern: str = "*") -> list[str]:
    """Names of the networks that can stand below the prototypes; they are timm's.

    Args:
        pattern: Of shell style, which they match.

    Example:
        >>> import protoexplain as px
        >>> px.list_backbones("resnet3?")
        ['resnet34']
    """
    import timm

    return [name for name in timm.list_models() if fnmatch(name, pattern)]


def _loaded(model: ModelLike, device: str) -> LoadedModel:
    return model if isinstance(model, LoadedModel) else LoadedModel(model, device)
