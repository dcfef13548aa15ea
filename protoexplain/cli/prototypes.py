"""`protoexplain prototypes`: what every prototype stands for, as prototypes.json and a picture each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from protoexplain.cli.arguments import CheckpointFolder, Data
from protoexplain.cli.output import Device, Json, print_json, say, watching
from protoexplain.io.json_values import finite


def register(app: typer.Typer) -> None:
    app.command()(prototypes)


def prototypes(
    checkpoint: CheckpointFolder,
    data: Data,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for prototypes.json and the contact sheets.")
    ] = None,
    k: Annotated[int, typer.Option("--nearest", "-k", min=1, max=100, help="Patches for each prototype.")] = 5,
    level: Annotated[
        float, typer.Option(min=0, max=1, help="A prototype fires at this share of its highest training activation.")
    ] = 0.5,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find the patches nearest to each prototype in training and test images, and how often it fires."""
    from protoexplain.data.dataset_view import matching_view
    from protoexplain.devices import resolve_device
    from protoexplain.explanations.characteristics.words import about_prototype
    from protoexplain.explanations.explainer import Explainer
    from protoexplain.explanations.prototypes.prototype import explain_prototypes
    from protoexplain.io.atomic import write_file
    from protoexplain.models.reasoning import reasoning_of
    from protoexplain.view.contact_sheet import ImageRegions, contact_sheet
    from protoexplain.view.reasoning_sheet import reasoning_sheet

    explainer = Explainer(checkpoint, resolve_device(device))
    loaded, config = explainer.checkpoint, explainer.checkpoint.config
    images = matching_view(loaded, data)
    splits = {name: images.dataset(getattr(images, name), config.data) for name in ("train", "test")}
    with watching() as watcher:
        explained = explain_prototypes(
            explainer.model,
            loaded.prototypes,
            loaded.classes,
            splits,
            k,
            level,
            progress=lambda done, total: watcher.progress("looking through the images", done, total),
        )
        known = explainer.known_characteristics
        if known is not None:
            explained = tuple(
                replace(entry, characteristics=about_prototype(known, entry.prototype)) for entry in explained
            )
        content = finite(
            {
                "checkpoint": str(checkpoint),
                "data": str(data),
                "classes": loaded.classes,
                "images": {name: len(dataset) for name, dataset in splits.items()},
                "level": level,
                "prototypes": [entry.to_dict() for entry in explained],
            }
        )
        if out is not None:
            region = ImageRegions(splits)
            caption = "drawn; nearest below" if explainer.model.prototype_source.decoded else "its training patch"
            for done, entry in enumerate(explained, 1):
                patch, source = explainer.patch(entry.prototype), explainer.source(entry.prototype)
                picture = contact_sheet(entry, loaded.classes, region, patch, source, caption)
                write_file(out / f"prototype-{entry.prototype:05}.jpg", picture)
                watcher.progress("drawing contact sheets", done, len(explained))
            reasoning = reasoning_of(explainer.model)
            if reasoning is not None:
                pictures = [explainer.patch(index) for index in range(len(explained))]
                write_file(out / "reasoning.png", reasoning_sheet(reasoning, pictures, loaded.classes))
            write_file(out / "prototypes.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    if as_json:
        print_json(content)
        return
    for notice in images.notices:
        say(notice)
    for problem in images.problems:
        say(f"left out: {problem}")
    judged = [entry for entry in explained if entry.splits["train"].foreign is not None]
    foreign = sum((entry.splits["train"].foreign or 0) > 0.5 for entry in judged)
    say(f"{len(explained)} prototypes, {len(splits['train'])} training and {len(splits['test'])} test images")
    if judged:
        say(f"{foreign} of {len(judged)} prototypes are nearest to training images of other classes")
    never = sum(entry.splits["test"].fires == 0 for entry in explained)
    say(f"{never} of {len(explained)} prototypes fire in no test image")
    if out is not None:
        say(f"see {out}: prototypes.json and a contact sheet for each prototype")
