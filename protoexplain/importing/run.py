"""Import a model of another program as a checkpoint: `protoexplain import`, and `load` of a file.

With the data set that it was trained on, each prototype gets the training patch nearest to it, once; prototypes and
weights stay as they are.  Without, the checkpoint has no pictures of prototypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.prototypes import DataInfo, PrototypeRecord
from protoexplain.checkpoint.save import save_checkpoint
from protoexplain.data.dataset_view import DatasetView, view_of_run
from protoexplain.data.loading import Crop
from protoexplain.data.read import read_image_set
from protoexplain.devices import AUTO
from protoexplain.errors import UserError
from protoexplain.fabric import make_fabric
from protoexplain.importing.foreign import read_foreign
from protoexplain.importing.model import ImportedModel, imported_model
from protoexplain.io.atomic import require_writable
from protoexplain.progress import Silent, Watcher
from protoexplain.training import projection
from protoexplain.training.callbacks import Callbacks
from protoexplain.training.checkpoint_ops import features_of
from protoexplain.training.feature_cache import accuracy_of
from protoexplain.training.trainer import Trainer


@dataclass(frozen=True)
class ImportResult:
    """What an import left behind.

    Args:
        checkpoint: The new checkpoint.
        title: The official code that the model is of.
        assumed: What the file did not tell, one sentence each.
    """

    checkpoint: Checkpoint
    title: str
    assumed: tuple[str, ...]


def import_model(
    source: Path,
    out: Path,
    *,
    code: str | None = None,
    classes: Sequence[str] | None = None,
    data: Path | None = None,
    assignments: Sequence[str] = (),
    watcher: Watcher | None = None,
    command: str = "",
    device: str = AUTO,
) -> ImportResult:
    """Make a checkpoint of a model that another program trained; nothing in its file is run.

    Args:
        source: A file of weights, or a folder that CaBRNet wrote.
        out: The new checkpoint.
        code: Whose code it is of, as a name of `importing.codes`; recognised if None.
        classes: Names by label; by default those of the data set.
        data: The data set that it was trained on.
        assignments: Changes of the configuration, such as ``data.image_size=192``.
        watcher: Is shown the progress.
        command: How to make it again.
        device: Where the model looks at the data.

    Raises:
        UserError: `out` exists, the file cannot be read safely, is of no known code or lacks something, or neither
            classes nor data are given.
    """
    watcher = watcher or Silent()
    if out.exists():
        raise UserError("the folder exists", str(out), "choose a new --out; nothing is overwritten")
    names = _class_names(classes, data)
    found = imported_model(read_foreign(source), code, len(names) if names else None, assignments)
    if names is None:
        what = f"the model has {found.model.classes} classes, and the file does not name them"
        raise UserError(what, str(source), "give --classes FILE with a name on each line, or --data FOLDER")
    require_writable(out.parent)
    if data is None:
        checkpoint = _without_data(found, out, names, command)
    else:
        checkpoint = _with_data(found, out, view_of_run(found.config.data, data), watcher, command, device)
    return ImportResult(checkpoint, found.title, found.assumed)


def _class_names(classes: Sequence[str] | None, data: Path | None) -> tuple[str, ...] | None:
    """As given, which the data set's are then as well; None where nobody names them."""
    named = None if classes is None else tuple(classes)
    if data is None:
        return named
    own = read_image_set(data).classes
    if named not in (None, own):
        what = (
            f"{len(named or ())} classes are named, which are not the {len(own)} of the data set, or in another order"
        )
        raise UserError(what, str(data), "leave --classes out, or name the classes as the data set does")
    return own


def _without_data(found: ImportedModel, out: Path, names: tuple[str, ...], command: str) -> Checkpoint:
    ownership, branches = found.model.ownership, found.model.prototype_branch()
    records = [
        PrototypeRecord(i, branch, -1, original_index=number).with_owners(ownership.owners(i))
        for i, (branch, number) in enumerate(zip(branches, found.kept, strict=True))
    ]
    crop: Crop = "box" if found.config.data.crop == "box" else "full"
    return save_checkpoint(
        out,
        model=found.model,
        config=found.config,
        classes=names,
        data=DataInfo("unknown data", "", "", crop, 0, 0, 0),
        records=records,
        pictures={},
        before_projection={},
        metrics={"imported": {"code": found.title, "assumed": list(found.assumed)}},
        command=command,
    )


def _with_data(
    found: ImportedModel, out: Path, view: DatasetView, watcher: Watcher, command: str, device: str
) -> Checkpoint:
    fabric = make_fabric(device)
    model = found.model.to(fabric.device)
    with closing(Trainer(found.config, model, view, fabric, callbacks=Callbacks(watcher), decoded_bytes=0)) as trainer:
        train, test = features_of(trainer, "train"), features_of(trainer, "test")
        patches = projection.search_latents(model, train.batches(fabric.device))
        origin = trainer.origin_of([projection.to_cpu(best) for best in patches], projected=False)
        numbered = zip(origin.records, found.kept, strict=True)
        origin = replace(origin, records=tuple(replace(record, original_index=old) for record, old in numbered))
        metrics = {
            "imported": {"code": found.title, "assumed": list(found.assumed)},
            **({"test_accuracy": accuracy_of(model, test.similarity, test.labels)} if len(test.labels) else {}),
        }
        return trainer.save(out, origin, {}, metrics, command, train.batches(fabric.device)).checkpoint
