"""`protoexplain train`."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from protoexplain.cli.arguments import existing_folder
from protoexplain.cli.output import Json, command_line, print_json, say, watching
from protoexplain.cli.run_places import RUNS
from protoexplain.errors import UserError
from protoexplain.progress import Watcher

if TYPE_CHECKING:
    from protoexplain.config import RunConfig
    from protoexplain.training.save import RunResult

EMBEDDED = Path("data/planted-birds")
DEFAULT_PRESET = "planted-protopnet"
"""For the embedded data set."""
QUICK_PRESET = "quick-protopnet"
"""For any other."""


def register(app: typer.Typer) -> None:
    app.command()(train)


def train(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Data set, the same as --data; with --resume, the folder of the run that is to go on.",
            callback=existing_folder,
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", help=f"Preset name or YAML file; {QUICK_PRESET} for a data set of your own."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", help="Data set; the embedded planted birds by default.", callback=existing_folder),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="New folder for the run; runs/NAME by default.")
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="key=value, for example schedule.warm_epochs=3.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs of the network in all, shared out among its stages; the last layer's own stay.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="Take as many epochs as fit into so many minutes, by a short test when it begins."),
    ] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, help="Processes on each computer, each on a device of its own but on the CPU.")
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(min=1, help="Computers; torchrun or SLURM starts the processes on each.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the interrupted run that is given in place of a data set, or in --out."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Read the data set, try a changed model once, print the resolved configuration and stop.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a model: warm up, train, project prototypes onto training patches, fit the last layer, save."""
    from protoexplain.config import resolve
    from protoexplain.training.run_folder import is_run, settings_of_run, settings_to_go_on

    if folder is not None and data is not None:
        raise UserError("a data set was given twice", f"{folder}, --data {data}", "give one of them")
    if epochs is not None and minutes is not None:
        raise UserError("both epochs and minutes are given", "--epochs, --minutes", "give one of them")
    data, command = data or folder, command_line()
    if data is not None and is_run(data):
        out, data, command = _run_to_go_on(data, out, resume), None, ""
    given = {"epochs": epochs, "devices": devices, "nodes": nodes}
    short = [f"training.{key}={value}" for key, value in given.items() if value is not None]
    changes = [*(assignments or []), *short]
    source = config or (DEFAULT_PRESET if data is None or data == EMBEDDED else QUICK_PRESET)
    run = out or _free_folder(RUNS / Path(source).stem, resume)
    own = resume and config is None and is_run(run)
    settings = settings_of_run(run, changes) if own else resolve(source, changes)
    if dry_run:
        if resume:
            settings = settings_to_go_on(run, settings)
            data = data or _configured(settings)
        if not (own or _tried_before(source, settings)):
            from protoexplain.training.model_check import check_configuration

            check_configuration(settings)
        told = _announced(data, settings, run if resume else None) if data else []
        _print_configuration(settings, as_json)
        for line in [] if as_json else told:
            say(f"# {line}")
        if minutes is not None and settings.training.epochs is None and not as_json:
            say(f"# how many of these epochs fit into {minutes:g} minutes is measured when the training begins")
        return
    signals = _Signals()
    from lightning_fabric.utilities import rank_zero_only

    from protoexplain.fabric import as_launched
    from protoexplain.training.callbacks import Interrupted
    from protoexplain.training.run import train as run_training

    with watching() as watcher:
        data_path = data or _configured(settings)
        if data_path == EMBEDDED:
            _draw_embedded(watcher)
        try:
            result = run_training(
                settings,
                run,
                data_path=data_path,
                resume=resume,
                minutes=minutes,
                watcher=watcher,
                interrupted=lambda: signals.received is not None,
                command=command,
            )
        except Interrupted:
            within = "" if minutes is None else f" --minutes {minutes:g}"
            _, computers = as_launched(settings.training.devices, settings.training.nodes)
            by = "" if computers == 1 else f", by torchrun or srun on {computers} computers as before,"
            rank_zero_only(say)(f"stopped; go on{by} with: protoexplain train --resume {shlex.quote(str(run))}{within}")
            sys.exit(128 + (signals.received or signal.SIGINT))
    rank_zero_only(_report)(result, as_json)


def _run_to_go_on(run: Path, out: Path | None, resume: bool) -> Path:
    """The folder of a run that was given where a data set may be given, if the run is to go on.

    Raises:
        UserError: Nobody asked to go on, or with another run.
    """
    if not resume:
        finished = (run / "best").exists()
        fix = f"protoexplain {'app' if finished else 'train --resume'} {shlex.quote(str(run))}"
        what = f"this is the folder of {'a finished' if finished else 'an interrupted'} run, not a data set"
        raise UserError(what, str(run), f"{'see it' if finished else 'go on'} with: {fix}")
    if out is not None and out.resolve() != run.resolve():
        raise UserError("a run was given twice", f"{run}, --out {out}", "give one of them")
    return run


def _configured(settings: RunConfig) -> Path:
    """The data set where none is named on the command line."""
    return Path(settings.data.path) if settings.data.path else EMBEDDED


def _announced(data: Path, settings: RunConfig, run: Path | None) -> list[str]:
    """What a training would say about its images before it opens them; refuses others than those of a run that is to
    go on."""
    from protoexplain.data.dataset_view import parts_in_words, view_of_run
    from protoexplain.training.run_folder import require_same_data

    if data == EMBEDDED and not data.exists():
        return []
    view = view_of_run(settings.data, data)
    if run is not None:
        require_same_data(run, view.image_set)
    return [parts_in_words(view, settings.data, opened=False), *view.image_set.problems]


def _tried_before(source: str, settings: RunConfig) -> bool:
    """Whether the model on pictures of this size is a preset's own, which is known to work."""
    from protoexplain.config import preset_names, resolve

    if source not in preset_names():
        return False
    preset = resolve(source)
    return (settings.model, settings.data.image_size) == (preset.model, preset.data.image_size)


def _print_configuration(settings: RunConfig, as_json: bool) -> None:
    from protoexplain.training.schedule import stages_of

    stages = stages_of(settings)
    if as_json:
        print_json(
            {
                **settings.model_dump(mode="json"),
                "stages": [stage.model_dump(mode="json") for stage in stages],
            }
        )
        return
    say(settings.to_yaml().rstrip())
    say("# stages that follow from the schedule")
    for stage in stages:
        rates = ", ".join(f"{group} {rate:g}" for group, rate in stage.lr.items()) or "without gradients"
        merging = "" if stage.merge is None else ", then merging"
        say(f"#   {stage.name}: {stage.epochs} epochs, {rates}{merging}{', then projection' if stage.project else ''}")


def _free_folder(wanted: Path, resume: bool) -> Path:
    """The wanted folder, or with a number where it is taken."""
    from protoexplain.io.lock import LOCK

    if resume:
        return wanted
    folder, number = wanted, 2
    while folder.exists() and any(entry.name != LOCK for entry in folder.iterdir()):
        folder, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
    return folder


def _draw_embedded(watcher: Watcher) -> None:
    """The embedded data set, if it is not there yet."""
    from protoexplain.planted import draw

    if not EMBEDDED.exists():
        draw(EMBEDDED, progress=lambda done, total: watcher.progress("drawing planted birds", done, total))


class _Signals:
    """Remembers ctrl-C and SIGTERM, so that the run stops after a step; a second ctrl-C stops at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number


def _report(result: RunResult, as_json: bool) -> None:
    from protoexplain.training.linear_probe import compared_with_probe

    findings = [finding.sentence for finding in result.findings]
    if as_json:
        print_json({"checkpoint": str(result.checkpoint.path), "metrics": result.metrics, "findings": findings})
        return
    metrics = result.metrics
    for row in metrics["projections"]:
        say(f"projection: test accuracy {row['test_before']:.1%} before, {row['test_after']:.1%} after")
    say(
        f"test accuracy {metrics['test_accuracy']:.1%}, mean over classes {metrics['balanced_test_accuracy']:.1%}"
        f" ({metrics['kept']}), {metrics['seconds']:.0f} s"
    )
    if worse := compared_with_probe(metrics):
        say(worse)
    say("prototypes:")
    for text in findings:
        say(f"  {text}")
    say(f"checkpoint: {result.checkpoint.path}")
    say(f"see it: protoexplain app {result.checkpoint.path.parent}")
