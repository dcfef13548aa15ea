"""`protoexplain attribute`: which pixels matter to a class score or a prototype, by many methods."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from protoexplain.cli.arguments import CheckpointFolder, existing_folder, existing_image, named
from protoexplain.cli.output import Device, Json, print_json, say, watching
from protoexplain.errors import UserError
from protoexplain.io.json_values import finite


def register(app: typer.Typer) -> None:
    app.command()(attribute)


def attribute(
    checkpoint: CheckpointFolder,
    image: Annotated[Path, typer.Argument(help="Image to explain.", callback=existing_image)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the sheet, the numbers and the maps.")] = Path(
        "attributed"
    ),
    prototype: Annotated[int | None, typer.Option(help="Explain the activation of this prototype.")] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Explain the score of this class; the best one by default.")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Names with commas between, such as lime,saliency; all by default.")
    ] = None,
    neighbourhoods: Annotated[
        str, typer.Option(help="On which the fits are judged, with commas between; or all.")
    ] = "mask",
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", "-d", help="Data set that holds the image; its box is taken from it.", callback=existing_folder
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Attribute a number to pixels by many methods, tell how well each describes the model, and recommend one.

    Writes attributions.png, attributions.json, and attributions.npz with the maps.
    """
    if prototype is not None and class_name is not None:
        raise UserError("a prototype and a class were given", "--prototype, --class", "give one of them")

    import numpy as np

    from protoexplain.cli.explain import forward_file
    from protoexplain.data.dataset_view import view_of
    from protoexplain.devices import resolve_device
    from protoexplain.explanations.attribution.attribute import DEFAULT_NEIGHBOURHOOD
    from protoexplain.explanations.attribution.fit import NEIGHBOURHOODS
    from protoexplain.explanations.attribution.task import Target
    from protoexplain.explanations.explainer import Explainer
    from protoexplain.io.atomic import require_no_checkpoint, write_file
    from protoexplain.view.attribution_sheet import attribution_sheet, error_table
    from protoexplain.view.sentences import about_fit

    require_no_checkpoint(out / "attributions.json")
    explainer = Explainer(checkpoint, resolve_device(device))
    forward = forward_file(explainer, image, None if data is None else view_of(explainer.checkpoint, data))
    if prototype is not None:
        target, what = Target("prototype", prototype), f"activation of prototype {prototype}"
    else:
        with named("--class"):
            label = forward.forward_pass.ranked[0] if class_name is None else explainer.label(class_name)
        target, what = Target("class", label), f"score of {explainer.checkpoint.classes[label]}"
    every = sorted(NEIGHBOURHOODS, key=lambda name: name != DEFAULT_NEIGHBOURHOOD)
    judged = every if neighbourhoods == "all" else _names(neighbourhoods)
    with watching() as watcher:
        found = explainer.attribute(
            forward,
            target,
            None if methods is None else _names(methods),
            judged,
            seed,
            lambda done, total: watcher.progress("attributing", done, total),
        )
    sentences = about_fit(found)
    content = finite(
        {
            "checkpoint": str(checkpoint),
            "image": str(image),
            "what": what,
            **found.to_dict(),
            "sentences": sentences,
            "picture": str(out / "attributions.png"),
            "maps": str(out / "attributions.npz"),
        }
    )
    maps: dict[str, Any] = {name: attribution.heat for name, attribution in found.maps.items()}
    arrays = io.BytesIO()
    np.savez_compressed(arrays, **maps)
    write_file(
        out / "attributions.png",
        attribution_sheet(found, forward.picture, f"{forward.name}: {what}, {found.value:.3f}"),
    )
    write_file(out / "attributions.npz", arrays.getvalue())
    write_file(out / "attributions.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    if as_json:
        print_json(content)
        return
    say(f"{image}: {what} is {found.value:.3f}, see {out / 'attributions.png'}")
    for line in (*error_table(found), *sentences):
        say(line)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
