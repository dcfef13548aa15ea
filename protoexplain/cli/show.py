"""`protoexplain info | app | demo`: what there is, and the web app."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protoexplain.cli.output import Device, Json, print_json, say, show_markdown, watching
from protoexplain.cli.run_places import models_and_data
from protoexplain.errors import UserError

if TYPE_CHECKING:
    from protoexplain.checkpoint.checkpoint import Checkpoint

Host = Annotated[str, typer.Option(help="Address to listen on; one that others can reach only with --auth.")]
Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port; by default the first free one from 7860 on, 0 for any free one."),
]
Auth = Annotated[Path | None, typer.Option(help="File of the users who may log in, a line 'name:hash' for each.")]


def register(app: typer.Typer) -> None:
    app.command()(info)
    app.command("app")(open_app)
    app.command()(demo)


def info(
    folder: Annotated[
        Path | None, typer.Argument(help="A checkpoint, or a run; none tells of this installation and what there is.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Describe a checkpoint; or, to be pasted into a report of a fault, this installation and the state of a run."""
    from protoexplain import __version__
    from protoexplain.checkpoint.file_names import MODEL
    from protoexplain.cli.environment import block, environment, state_of_run
    from protoexplain.io.manifest import MANIFEST
    from protoexplain.training.run_folder import CONFIG

    of_run = folder is not None and (folder / CONFIG).is_file()
    if folder is not None and of_run and not any((folder / name).exists() for name in (MANIFEST, MODEL)):
        told = {**environment(), "run": state_of_run(folder)}
        if as_json:
            print_json(told)
        else:
            say(block(told))
        return
    if folder is not None:
        from protoexplain.checkpoint.checkpoint import Checkpoint

        _describe(Checkpoint.load(folder), as_json)
        return
    from protoexplain.config import preset_names, read_preset
    from protoexplain.data.read import source_names
    from protoexplain.metrics.registry import list_metrics
    from protoexplain.models.registry import family_names, get_family

    families = {name: get_family(name) for name in family_names()}
    presets = {name: read_preset(name).get("about", "") for name in preset_names()}
    if as_json:
        print_json(
            {
                "version": __version__,
                "environment": environment(),
                "families": {name: {"title": f.title, "paper": f.paper} for name, f in families.items()},
                "presets": presets,
                "sources": source_names(),
                "metrics": list_metrics(),
            }
        )
        return
    say(f"{block(environment())}\n\nfamilies")
    for name, family in families.items():
        say(f"  {name:14} {family.title}: {family.paper}")
    say("\npresets (protoexplain train --config NAME)")
    for name, about in presets.items():
        say(f"  {name:28} {about}")
    say(f"\ndata layouts: {', '.join(source_names())}")
    say(f"\nmetrics (protoexplain measure --metrics NAMES): {', '.join(list_metrics())}")


def _describe(checkpoint: Checkpoint, as_json: bool) -> None:

    from protoexplain.checkpoint.file_names import CARD
    from protoexplain.checkpoint.model_card import without_head
    from protoexplain.io.manifest import MEASUREMENTS

    if as_json:
        print_json(
            {
                "sha256": checkpoint.sha256,
                "config": checkpoint.config.model_dump(mode="json"),
                "classes": checkpoint.classes,
                "data": asdict(checkpoint.data),
                "metrics": checkpoint.metrics,
                "prototypes": [asdict(record) for record in checkpoint.prototypes],
                "versions": dict(checkpoint.versions),
                "command": checkpoint.command,
            }
        )
        return
    for card in (checkpoint.path / CARD, checkpoint.path / MEASUREMENTS / CARD):
        if card.is_file():
            show_markdown(without_head(card.read_text(encoding="utf-8")))


def open_app(
    place: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER|RUN]", help="A run, or the newest one in a folder or of a data set."),
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Folder of checkpoints; the shipped ones by default.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", "-d", help="Data set to take pictures from.")] = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    auth: Auth = None,
    add_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Ask for a password, write the user into the --auth file, stop.")
    ] = None,
    mcp: Annotated[
        bool,
        typer.Option("--mcp", help="Answer programs by the Model Context Protocol, too."),
    ] = False,
    role: Annotated[
        str | None,
        typer.Option(
            metavar="look|measure|edit",
            help="What visitors whose account says nothing may do, or with --add-user the user: look, begin work in the"
            " background, save checkpoints. By default look; without --auth, everything from this computer.",
        ),
    ] = None,
    device: Device = "auto",
) -> None:
    """Open the web app: pick a checkpoint, drop in an image, see why."""
    if place is not None and checkpoints is not None:
        raise UserError("a folder and --checkpoints were given", str(place), "give one of them")
    if place is not None:
        checkpoints, known = models_and_data(place)
        data = data or known
        say(f"opening {checkpoints}" + (f", which was trained on {data}" if data else ""))
    _launch(checkpoints, data, host, port, auth=auth, add_user=add_user, mcp=mcp, device=device, role=role)


def demo(host: Host = "127.0.0.1", port: Port = None) -> None:
    """Draw the embedded data set, train where no checkpoint is shipped, and open the app."""
    from protoexplain.checkpoint.folders import find_checkpoints, shipped_checkpoints
    from protoexplain.cli.train import DEFAULT_PRESET, EMBEDDED
    from protoexplain.planted import draw

    with watching() as watcher:
        draw(EMBEDDED, progress=lambda done, total: watcher.progress("drawing planted birds", done, total))
        folder = shipped_checkpoints()
        if not find_checkpoints(folder):
            from protoexplain.config import resolve
            from protoexplain.training.run import train

            folder = Path("runs/demo")
            if not find_checkpoints(folder):
                watcher.line("no checkpoint is shipped: training one, about ten minutes")
                train(resolve(DEFAULT_PRESET), folder, data_path=EMBEDDED, resume=True, watcher=watcher)
    _launch(folder, EMBEDDED, host, port)


def _launch(checkpoints: Path | None, data: Path | None, host: str, port: int | None, **more: object) -> None:
    from protoexplain.checkpoint.folders import shipped_checkpoints
    from protoexplain.garbage import uncollected
    from protoexplain.registry import installed

    servers = installed("protoexplain.app")
    if not servers:
        raise UserError("no app is installed", "", "install the package again: pip install protoexplain")
    with uncollected():
        serve = next(iter(servers.values())).load()
    serve(checkpoints or shipped_checkpoints(), data, host, port, **more)
