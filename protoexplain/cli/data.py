"""`protoexplain data`: draw the embedded data set, check any data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protoexplain.cli.output import Json, print_json, say, watching

app = typer.Typer(help="Draw the embedded data set, or check one of yours.", no_args_is_help=True)


@app.command()
def draw(
    out: Annotated[Path, typer.Argument(help="New folder for the data set.")] = Path("data/planted-birds"),
    classes: Annotated[int, typer.Option(help="Number of classes; they come in twins.")] = 20,
    train: Annotated[int, typer.Option(help="Training images of each class.")] = 30,
    test: Annotated[int, typer.Option(help="Test images of each class.")] = 10,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 224,
    seed: Annotated[int, typer.Option(help="Other seeds give other birds.")] = 0,
    as_json: Json = False,
) -> None:
    """Draw `planted birds`: birds whose classes differ in exactly one known attribute, in the CUB-200-2011 layout."""
    from protoexplain.planted import draw as draw_birds

    with watching() as watcher:
        draw_birds(
            out,
            classes=classes,
            train_per_class=train,
            test_per_class=test,
            size=size,
            seed=seed,
            progress=lambda done, total: watcher.progress("drawing birds", done, total),
        )
    if as_json:
        print_json(
            {
                "path": str(out),
                "classes": classes,
                "images": classes * (train + test),
                "size": size,
                "seed": seed,
            }
        )
    else:
        say(f"{classes * (train + test)} images of {classes} classes in {out}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    source: Annotated[str, typer.Option(help="auto, cub, cars, dogs, funnybirds, table, shards or folder.")] = "auto",
    as_json: Json = False,
) -> None:
    """Say what is in a data set: counts, unreadable files, tiny classes, the same image in train and test."""
    from protoexplain.data.check import as_text
    from protoexplain.data.check import check as check_set
    from protoexplain.data.read import read_image_set

    with watching() as watcher:
        report = check_set(
            read_image_set(folder, source),
            lambda done, total: watcher.progress("reading images", done, total),
        )
    if as_json:
        print_json(report.to_dict())
    else:
        say(as_text(report))
