"""`protoexplain import`: a model that another program trained, as a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protoexplain.cli.arguments import existing_folder
from protoexplain.cli.output import Device, Json, command_line, print_json, say, watching


def register(app: typer.Typer) -> None:
    app.command("import")(import_)


def import_(
    source: Annotated[Path, typer.Argument(help="File of weights or of a whole model, or a folder of CaBRNet.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the checkpoint.")],
    family: Annotated[
        str | None, typer.Option("--family", "-f", help="Whose code it is of, where its tensors do not tell.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option("--classes", help="Text file with the name of a class on each line.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            "-d",
            help="The data set that it was trained on; prototypes get pictures.",
            callback=existing_folder,
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="key=value, for example data.image_size=192.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Make a checkpoint of a model that another program trained; nothing in its file is run.

    Models of the official code of ProtoPNet, TesNet, ST-ProtoPNet, EvalProtoPNet, ProtoPool, PIP-Net, RBF-net and CBC,
    and folders of CaBRNet.  Weights stay as they are.
    """
    from protoexplain.importing.class_list import read_classes
    from protoexplain.importing.run import import_model

    names = None if classes is None else read_classes(classes)
    with watching() as watcher:
        result = import_model(
            source,
            out,
            code=family,
            classes=names,
            data=data,
            assignments=assignments or (),
            watcher=watcher,
            command=command_line(),
            device=device,
        )
    accuracy = result.checkpoint.metrics.get("test_accuracy")
    if as_json:
        told = {"code": result.title, "assumed": result.assumed, "test_accuracy": accuracy}
        print_json({"checkpoint": str(out), **told})
        return
    say(f"{result.title}, {len(result.checkpoint.classes)} classes, {len(result.checkpoint.prototypes)} prototypes")
    for sentence in result.assumed:
        say(f"the file does not tell, taken was: {sentence}")
    if isinstance(accuracy, float):
        say(f"test accuracy: {accuracy:.1%}")
    say(f"checkpoint: {out}")
