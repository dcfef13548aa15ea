"""`protoexplain report`: a model and some pictures explained, in one file to read, print or mail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protoexplain.cli.arguments import CheckpointFolder, existing_folder, existing_images
from protoexplain.cli.output import Device, Evidence, command_line, say, watching


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    checkpoint: CheckpointFolder,
    images: Annotated[
        list[Path] | None, typer.Argument(help="Images to explain.", show_default=False, callback=existing_images)
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write; it ends with .html, .pdf or .json.")] = Path(
        "report.html"
    ),
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            "-d",
            help="The data set that it was trained on: true classes, boxes, whole training pictures.",
            callback=existing_folder,
        ),
    ] = None,
    evidence: Evidence = "shapley",
    sections: Annotated[
        str | None,
        typer.Option(help="With commas: model, accuracy, metrics, images, prototypes, reproduce; all by default."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Write a report: the model, how far to trust it, the given images explained, its prototypes, how to repeat it."""
    from protoexplain.data.dataset_view import matching_view
    from protoexplain.devices import resolve_device
    from protoexplain.explanations.explainer import Explainer
    from protoexplain.report.formats import require_format, write_report
    from protoexplain.report.gather import SECTIONS, ReportOptions, gather, report_images, require_sections
    from protoexplain.report.wording import printable

    require_format(out)
    names = tuple(SECTIONS) if sections is None else [name.strip() for name in sections.split(",") if name.strip()]
    chosen = require_sections(names)
    explainer = Explainer(checkpoint, resolve_device(device), evidence)
    loaded = explainer.checkpoint
    view = None if data is None else matching_view(loaded, data)
    originals = {record.id: record.path for record in view.image_set.records} if view else {}
    command = printable(command_line())
    with watching() as watcher:
        for notice in view.notices if view else ():
            watcher.line(notice)
        shown = report_images(images or [], view)
        made = gather(explainer, shown, ReportOptions(chosen, command, originals), watcher.progress)
        for refused in made.refused:
            watcher.line(f"left out: {refused.name}: {refused.reason}")
        write_report(made, out)
    say(f"{made.title}: {', '.join(made.sections)}")
    for case in made.images or ():
        best = case.predictions[0]
        say(f"{case.name}: {best.name} ({best.probability:.1%})")
    say(f"report: {out} ({out.stat().st_size / 1e6:.1f} MB)")
