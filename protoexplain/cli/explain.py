"""`protoexplain explain`: one picture per image, and explanation.json."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protoexplain.cli.output import Json, finite, print_json, say, watching
from protoexplain.errors import UserError

if TYPE_CHECKING:
    from protoexplain.data.geometry import Box


def register(app: typer.Typer) -> None:
    app.command()(explain)


def explain(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a checkpoint.")],
    images: Annotated[list[Path], typer.Argument(help="Images to explain.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for pictures and explanation.json.")] = Path(
        "explained"
    ),
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="Data set that holds the images; their boxes are taken from it.")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Classes to explain for each image, best first.")] = 3,
    rows: Annotated[int, typer.Option(min=1, max=50, help="Prototypes for each class.")] = 5,
    as_json: Json = False,
) -> None:
    """Say why: for each image a sheet 'this part looks like that part', and the numbers behind it."""
    import json

    from protoexplain.explain.render import sheet
    from protoexplain.explain.session import Explainer
    from protoexplain.io.atomic import write_file

    explainer = Explainer(checkpoint)
    boxes = _boxes(data) if data and explainer.checkpoint.data.crop == "box" else {}
    out.mkdir(parents=True, exist_ok=True)
    told, refused = [], []
    with watching() as watcher:
        for number, path in enumerate(images):
            try:
                result = explainer.explain(path, box=boxes.get(path.resolve()), top_classes=classes, rows=rows)
            except UserError as error:
                refused.append(error)
                watcher.line(f"left out: {error}")
                continue
            shown = result.explanation.classes[0]
            picture = out / f"{_unique_stem(path, images)}.png"
            write_file(
                picture,
                sheet(
                    result.explanation,
                    shown,
                    result.rgb,
                    explainer.patch,
                    explainer.source,
                    explainer.name,
                    rows,
                    explainer.unit,
                ),
            )
            told.append({**result.explanation.to_dict(), "path": str(path), "picture": str(picture)})
            watcher.progress("explaining", number + 1, len(images))
    content = finite({"checkpoint": str(checkpoint), "explanations": told})
    write_file(out / "explanation.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    if as_json:
        print_json(content)
    else:
        for entry in told:
            best = entry["predictions"][0]
            say(f"{entry['path']}: {best['name']} ({best['probability']:.1%}), see {entry['picture']}")
    if refused and not told:
        raise refused[0]
    if refused:
        raise UserError(f"{len(refused)} of {len(images)} images could not be read", "", "see the lines above")


def _boxes(data: Path) -> dict[Path, Box | None]:
    """The box of every image of a data set, by file."""
    from protoexplain.data.reading import read_image_set

    return {record.path.resolve(): record.box for record in read_image_set(data).records}


def _unique_stem(path: Path, images: list[Path]) -> str:
    """The file's name without ending, with its folder's name where two files share it."""
    same = [other for other in images if other.stem == path.stem]
    return path.stem if len(same) == 1 else f"{path.parent.name}-{path.stem}-{same.index(path)}"
