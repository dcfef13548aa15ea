"""`protoexplain measure | compare`: how far the explanations of a model can be trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from protoexplain.cli.output import Json, finite, say, watching
from protoexplain.errors import UserError

if TYPE_CHECKING:
    from protoexplain.metrics.base import MetricResult

Format = Literal["text", "csv", "latex", "json"]


def register(app: typer.Typer) -> None:
    app.command()(measure)


def measure(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a checkpoint; the results are added to it.")],
    data: Annotated[Path, typer.Option("--data", "-d", help="The data set that it was trained on.")],
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", "-m", help="Names with commas; by default all that the data allow."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="Of what is printed or written.")] = "text",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for it instead of standard output.")] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for a picture of each metric.")] = None,
    foreign: Annotated[Path | None, typer.Option(help="Images of things that the model does not know.")] = None,
    images: Annotated[int, typer.Option(min=0, help="Only so many test images of each class; 0 takes all.")] = 0,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", help="key=value, such as draws=5 or consistency.threshold=0.7."),
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    as_json: Json = False,
) -> None:
    """Measure consistency, stability, purity, localisation, deletion and more, with intervals and baselines.

    Stopped by ctrl-C, the same command goes on where it was.
    """
    from lightning_fabric.utilities import rank_zero_only

    from protoexplain.io.checkpoint import Checkpoint, add_metrics
    from protoexplain.metrics.runner import make_fabric
    from protoexplain.metrics.runner import measure as run_measurement

    loaded = Checkpoint.load(checkpoint)
    settings = _settings(assignments or [], images)
    fabric = make_fabric(devices, accelerator)
    fabric.launch()
    with watching() as watcher:
        results = run_measurement(
            loaded,
            data,
            _names(metrics),
            settings,
            watcher,
            foreign=foreign,
            work=checkpoint.with_name(f".{checkpoint.name}.measuring"),
            fabric=fabric,
        )
    rank_zero_only(_tell)(results, "json" if as_json else form, out, plots)
    rank_zero_only(add_metrics)(checkpoint, {"interpretability": {name: r.to_dict() for name, r in results.items()}})


def _names(text: str | None) -> list[str] | None:
    return [name.strip().replace("-", "_") for name in text.split(",") if name.strip()] if text else None


def _settings(assignments: list[str], images: int) -> dict[str, Any]:
    from protoexplain.config import merged, parse_assignment

    settings: dict[str, Any] = {"images_per_class": images} if images else {}
    for assignment in assignments:
        settings = merged(settings, parse_assignment(assignment))
    return settings


def _tell(results: Mapping[str, MetricResult], form: Format, out: Path | None, plots: Path | None) -> None:
    from protoexplain.metrics.tables import as_csv, as_latex, as_text, result_rows

    if not results:
        raise UserError("none of the metrics can be measured on these data", "--metrics", "see the lines above")
    if form == "json":
        text = (
            json.dumps(finite({name: r.to_dict() for name, r in results.items()}), indent=2, ensure_ascii=False) + "\n"
        )
    elif form == "csv":
        text = as_csv(*result_rows(results))
    elif form == "latex":
        text = as_latex({"value": results})
    else:
        text = as_text(results)
    _put(text, out)


def _put(text: str, out: Path | None) -> None:
    from protoexplain.io.atomic import write_file

    if out is None:
        say(text.rstrip("\n"))
    else:
        write_file(out, text)
        say(f"written: {out}")
