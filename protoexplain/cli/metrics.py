"""`protoexplain measure | compare`: how far the explanations of a model can be trusted."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from protoexplain.cli.arguments import Data, MeasuredCheckpoint, existing_checkpoints, existing_folder
from protoexplain.cli.output import DEVICE_HELP, Device, Json, say, watching
from protoexplain.cli.results import CopyTo, add_results, open_for_results, work_folder
from protoexplain.errors import UserError
from protoexplain.io.json_values import finite
from protoexplain.progress import Watcher

if TYPE_CHECKING:
    from protoexplain.metrics.base import MetricResult
    from protoexplain.metrics.compare import MeasuredModel

Format = Literal["text", "csv", "latex", "markdown", "json"]
Metrics = Annotated[
    str | None, typer.Option("--metrics", "-m", help="Names or patterns with commas; by default all that data allow.")
]
Form = Annotated[Format, typer.Option("--format", "-f", help="Of what is printed or written.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="File for it instead of standard output.")]
Plots = Annotated[Path | None, typer.Option(help="Folder for a picture of each metric.")]
PerClass = Annotated[int, typer.Option("--images", min=0, help="Only so many test images of each class; 0 takes all.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="key=value, such as draws=5 or consistency.threshold=0.7.")
]


def register(app: typer.Typer) -> None:
    app.command()(measure)
    app.command()(compare)


def measure(
    checkpoint: MeasuredCheckpoint,
    data: Data,
    metrics: Metrics = None,
    form: Form = "text",
    out: Out = None,
    plots: Plots = None,
    foreign: Annotated[
        Path | None, typer.Option(help="Images of things that the model does not know.", callback=existing_folder)
    ] = None,
    images: PerClass = 0,
    assignments: Assignments = None,
    copy_to: CopyTo = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes on each computer.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Computers; torchrun or SLURM starts the processes on each.")] = 1,
    device: Annotated[str, typer.Option("--device", "--accelerator", help=DEVICE_HELP)] = "auto",
    as_json: Json = False,
) -> None:
    """Measure consistency, stability, purity, localisation, deletion and more, with intervals and baselines.

    Stopped by ctrl-C, the same command goes on where it was.
    """
    from protoexplain.fabric import as_launched, make_fabric
    from protoexplain.metrics.runner import measure as run_measurement

    loaded = open_for_results(checkpoint, copy_to, resumable=True)
    settings = _settings(assignments or [], images)
    devices, nodes = as_launched(devices, nodes)
    fabric = make_fabric(device, devices, nodes=nodes)
    fabric.launch()
    with _resumable() as watcher:
        names, work = _names(metrics), work_folder(loaded)
        results = run_measurement(loaded, data, names, settings, watcher, foreign=foreign, work=work, fabric=fabric)
    if fabric.global_rank == 0:
        if not results:
            raise UserError("none of the metrics can be measured on these data", "--metrics", "see the lines above")
        text = _formatted(results, "json" if as_json else form)
        add_results(loaded, _table(results), partial(_put, text, None))
        _put(text, out)
        _draw({checkpoint.name: results}, plots)


def compare(
    checkpoints: Annotated[
        list[Path], typer.Argument(help="Folders of two or more checkpoints.", callback=existing_checkpoints)
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", "-d", help="Measure on its test images what has not been measured yet.", callback=existing_folder
        ),
    ] = None,
    metrics: Metrics = None,
    form: Form = "text",
    out: Out = None,
    plots: Plots = None,
    images: PerClass = 0,
    assignments: Assignments = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Put models side by side: what is different between them, and what the data do not show to differ.

    Without --data, what `measure` has added to the checkpoints is compared.
    """
    from protoexplain.checkpoint.checkpoint import Checkpoint
    from protoexplain.fabric import make_fabric
    from protoexplain.metrics.cached_results import cached_results, distinct_names
    from protoexplain.metrics.compare import MeasuredModel
    from protoexplain.metrics.runner import measure as run_measurement

    fabric = make_fabric(device)
    if len(checkpoints) < 2:
        raise UserError("one checkpoint cannot be compared", "", "name two or more")
    names, models = _names(metrics), {}
    opened = [Checkpoint.load(path) if data is None else open_for_results(path, resumable=True) for path in checkpoints]
    for name, loaded in zip(distinct_names(checkpoints), opened, strict=True):
        results = cached_results(loaded)
        if data is not None:
            settings, work = _settings(assignments or [], images), work_folder(loaded)
            with _resumable() as watcher:
                results = run_measurement(
                    loaded, data, names, settings, watcher, cached=results, work=work, fabric=fabric
                )
            text = _formatted(results, "json" if as_json else form)
            add_results(loaded, _table(results), partial(_put, text, None))
        models[name] = MeasuredModel.of(loaded, {m: r for m, r in results.items() if names is None or m in names})
    if not all(model.results for model in models.values()):
        lacking = next(name for name, model in models.items() if not model.results)
        raise UserError(f"nothing was measured of {lacking}", "", "add --data DIR, or run protoexplain measure before")
    _put(_compared(models, "json" if as_json else form), out)
    _draw({name: model.results for name, model in models.items()}, plots)


@contextmanager
def _resumable() -> Iterator[Watcher]:
    """Progress bars; whoever stops the work is told that it is not lost."""
    with watching() as watcher:
        try:
            yield watcher
        except KeyboardInterrupt:
            watcher.line("stopped; the same command goes on from here")
            raise


def _names(text: str | None) -> list[str] | None:
    """Names of metrics; patterns such as `funnybirds_*` become all that fit, in their order."""
    from protoexplain.metrics.registry import list_metrics

    given = [name.strip().replace("-", "_") for name in (text or "").split(",") if name.strip()]
    return [fit for name in given for fit in fnmatch.filter(list_metrics(), name) or [name]] or None


def _settings(assignments: list[str], images: int) -> dict[str, Any]:
    from protoexplain.config import merged, parse_assignment

    settings: dict[str, Any] = {"images_per_class": images} if images else {}
    for assignment in assignments:
        settings = merged(settings, parse_assignment(assignment))
    return settings


def _table(results: Mapping[str, MetricResult]) -> dict[str, Any]:
    """As checkpoints hold them."""
    return {"interpretability": {name: result.to_dict() for name, result in results.items()}}


def _formatted(results: Mapping[str, MetricResult], form: Format) -> str:
    from protoexplain.metrics.tables import as_csv, as_latex, as_markdown, as_text, result_rows

    if form == "json":
        return _json({name: result.to_dict() for name, result in results.items()})
    if form == "csv":
        return as_csv(*result_rows(results))
    if form in ("latex", "markdown"):
        return (as_latex if form == "latex" else as_markdown)({"value": results})
    return as_text(results)


def _compared(models: Mapping[str, MeasuredModel], form: Format) -> str:

    from protoexplain.metrics.compare import compare as compare_models
    from protoexplain.metrics.compare import summary
    from protoexplain.metrics.tables import as_csv, as_latex, as_markdown, comparison_rows, comparison_text

    results = {name: model.results for name, model in models.items()}
    differences = compare_models(models)
    if form == "json":
        shown = {name: {m: r.to_dict() for m, r in measured.items()} for name, measured in results.items()}
        found = [{**asdict(difference), "sentence": difference.sentence()} for difference in differences]
        return _json({"models": shown, "differences": found, "summary": summary(differences)})
    if form == "csv":
        return as_csv(*comparison_rows(results, differences))
    if form in ("latex", "markdown"):
        return (as_latex if form == "latex" else as_markdown)(results)
    return comparison_text(results, differences)


def _json(content: object) -> str:
    return json.dumps(finite(content), indent=2, ensure_ascii=False) + "\n"


def _draw(models: Mapping[str, Mapping[str, MetricResult]], folder: Path | None) -> None:
    """A picture of each metric, with all models that have it."""
    from protoexplain.io.atomic import write_file
    from protoexplain.metrics.plots import metric_figure, png

    if folder is None:
        return
    for metric in dict.fromkeys(metric for results in models.values() for metric in results):
        shown = {name: results[metric] for name, results in models.items() if metric in results}
        write_file(folder / f"{metric}.png", png(metric_figure(shown)))


def _put(text: str, out: Path | None) -> None:
    from protoexplain.io.atomic import write_file

    if out is None:
        say(text.rstrip("\n"))
    else:
        write_file(out, text)
        say(f"written: {out}")
