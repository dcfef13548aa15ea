"""Commands on a checkpoint: `project`, `merge`, `prune`, `edit`, `evaluate`, `verify`, `upgrade`; none changes it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from protoexplain.cli.arguments import CheckpointFolder, Data, existing_folder
from protoexplain.cli.output import Device, Json, command_line, print_json, say, watching

Out = Annotated[Path, typer.Option("--out", "-o", help="New folder for the new checkpoint.")]


def register(app: typer.Typer) -> None:
    for command in (project, merge, prune, edit, evaluate, verify, upgrade):
        app.command()(command)


def project(
    checkpoint: CheckpointFolder,
    data: Data,
    out: Out,
    epochs: Annotated[int, typer.Option(min=0, help="Last-layer epochs afterwards.")] = 20,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Write the nearest training patches into the prototypes, refit the last layer, and save a new checkpoint."""
    from protoexplain.training.checkpoint_ops import reproject

    with watching() as watcher:
        result = reproject(checkpoint, data, out, watcher, command_line(), epochs, device)
    _tell(result.metrics, out, as_json)


def merge(
    checkpoint: CheckpointFolder,
    data: Data,
    out: Out,
    correlation: Annotated[
        float, typer.Option(min=0.01, max=1, help="Prototypes become one whose activations are correlated so highly.")
    ] = 0.85,
    epochs: Annotated[int, typer.Option(min=0, help="Last-layer epochs afterwards.")] = 100,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Merge prototypes that fire together into one that their classes share, refit, and save a new checkpoint.

    Prototypes that are patches of training images are projected anew in between.
    """
    from protoexplain.training.checkpoint_ops import reproject

    with watching() as watcher:
        result = reproject(checkpoint, data, out, watcher, command_line(), epochs, device, correlation)
    _tell(result.metrics, out, as_json)


def prune(
    checkpoint: CheckpointFolder,
    data: Data,
    out: Out,
    k: Annotated[int, typer.Option(min=1, help="Nearest training images that are looked at.")] = 6,
    threshold: Annotated[int, typer.Option(min=1, help="A prototype stays if so many of them have its class.")] = 3,
    epochs: Annotated[int, typer.Option(min=0, help="Last-layer epochs afterwards.")] = 100,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Remove prototypes whose nearest training images show other classes, refit the last layer, save anew."""
    from protoexplain.training.checkpoint_ops import prune as prune_checkpoint

    with watching() as watcher:
        result = prune_checkpoint(checkpoint, data, out, watcher, command_line(), k, threshold, epochs, device)
    _tell(result.metrics, out, as_json)


def edit(
    checkpoint: CheckpointFolder,
    decisions: Annotated[Path, typer.Option("--decisions", help="YAML or JSON file: what is done to which prototype.")],
    data: Data,
    out: Out,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Carry out what a person decided on single prototypes, refit the head, and save a new checkpoint.

    The tab Edit of the app writes the file; it looks like this:

    \b
    format: 1
    weights_sha256: 3f0c...   # of the checkpoint; may be left out
    epochs: 20                # of the refit; may be left out
    decisions:
      - {prototype: 17, do: remove, reason: background, note: only sky, who: Ada}
      - {prototype: 4, do: reproject, reason: duplicate, image: images/001.Wren/3.jpg, row: 2, column: 5}
      - {prototype: 9, do: reproject, reason: spurious}   # to the nearest patch that is not unwanted

    Reasons are background, spurious, duplicate and other.
    """
    from protoexplain.editing.decisions import read_decisions
    from protoexplain.editing.edit import edit as edit_checkpoint

    read = read_decisions(decisions)
    with watching() as watcher:
        result = edit_checkpoint(checkpoint, read, data, out, watcher, command_line(), device)
    if as_json:
        print_json({"checkpoint": str(out), "report": result.report.to_dict()})
        return
    say(result.report.as_text())
    say(f"checkpoint: {out}")


def evaluate(checkpoint: CheckpointFolder, data: Data, device: Device = "auto", as_json: Json = False) -> None:
    """Accuracy on the test images: overall, top 5, by class, and the most frequent confusions."""
    from protoexplain.devices import resolve_device
    from protoexplain.training.evaluate import evaluate as evaluate_checkpoint

    where = resolve_device(device)
    with watching() as watcher:
        result = evaluate_checkpoint(checkpoint, data, watcher, where)
    if as_json:
        print_json(result.to_dict())
    else:
        say(result.as_text())


def verify(
    checkpoint: CheckpointFolder,
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", help="Also check every prototype against its data.", callback=existing_folder),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Check the files of a checkpoint and, with the data, that no nearer training patch exists for any prototype."""
    from protoexplain.checkpoint.checkpoint import Checkpoint
    from protoexplain.data.dataset_view import view_of
    from protoexplain.devices import resolve_device
    from protoexplain.training.verify import verify as verify_checkpoint

    where = resolve_device(device)
    loaded = Checkpoint.load(checkpoint, verify=False)
    with watching() as watcher:
        images = view_of(loaded, data) if data else None
        for notice in images.notices if images else ():
            watcher.line(notice)
        report = verify_checkpoint(
            loaded, images, where, lambda done, total: watcher.progress("searching nearer patches", done, total)
        )
    if as_json:
        print_json({**asdict(report), "passed": report.passed})
    else:
        say(report.as_text())
    if not report.passed:
        raise typer.Exit(1)


def upgrade(checkpoint: CheckpointFolder, data: Data, out: Out, device: Device = "auto") -> None:
    """Copy an old checkpoint and add what newer ones hold; weights and measurements stay as they are.

    Explanations then count evidence against the usual image, heat maps of a prototype share one scale, every rule for
    boxes also holds for the training images of prototypes, and the data set may grow.
    """
    from protoexplain.training.upgrade import upgrade as upgrade_checkpoint

    with watching() as watcher:
        upgrade_checkpoint(checkpoint, data, out, watcher, device)
    say(f"checkpoint: {out}")


def _tell(metrics: dict[str, object], out: Path, as_json: bool) -> None:
    if as_json:
        print_json({"checkpoint": str(out), "metrics": metrics})
        return
    for name, value in metrics.items():
        if isinstance(value, float | int | str):
            say(
                f"{name.replace('_', ' ')}: {value:.1%}" if "accuracy" in name else f"{name.replace('_', ' ')}: {value}"
            )
    say(f"checkpoint: {out}")
