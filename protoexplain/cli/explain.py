"""`protoexplain explain`: one picture per image, and explanation.json."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from protoexplain.cli.arguments import CheckpointFolder, existing_folder, existing_images, named
from protoexplain.cli.output import Device, Evidence, Json, print_json, say, watching
from protoexplain.errors import UserError
from protoexplain.io.json_values import finite

if TYPE_CHECKING:
    from collections.abc import Callable

    from protoexplain.data.dataset_view import DatasetView
    from protoexplain.explanations.evidence.match import Match
    from protoexplain.explanations.evidence.what_if import Edit
    from protoexplain.explanations.explainer import ExplainedImage, Explainer, ForwardResult
    from protoexplain.explanations.overlays import RGB
    from protoexplain.regions.box_rules import BoxRule


RESULT = "explanation.json"
_AHEAD = 4
"""Sheets that wait to be drawn while the model explains further images."""


def register(app: typer.Typer) -> None:
    app.command()(explain)
    for alias in ("predict", "classify"):
        app.command(alias, hidden=True)(explain)


def explain(
    checkpoint: CheckpointFolder,
    images: Annotated[list[Path], typer.Argument(help="Images to explain.", callback=existing_images)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for pictures and explanation.json.")] = Path(
        "explained"
    ),
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            "-d",
            help="Data set that holds the images; their boxes are taken from it.",
            callback=existing_folder,
        ),
    ] = None,
    classes: Annotated[int, typer.Option(min=1, help="Classes to explain for each image, best first.")] = 3,
    rows: Annotated[int, typer.Option(min=1, max=50, help="Prototypes for each class.")] = 5,
    why: Annotated[str | None, typer.Option("--class", help="Explain this class, not the best ones.")] = None,
    against: Annotated[
        str | None, typer.Option(help="Compare with this class; the next best by default.", show_default=False)
    ] = None,
    method: Annotated[
        str, typer.Option(help="Heat maps: map (the similarity map), or a method of `protoexplain attribute`.")
    ] = "map",
    box: Annotated[
        str,
        typer.Option(
            help="Boxes: peak:95 (the connected place of the peak in the top 5 % of the map), published (all of the"
            " top 5 %, as percentile:95), share:0.5 of the maximum, cell, or receptive-field."
        ),
    ] = "peak:95",
    evidence: Evidence = "shapley",
    random_boxes: Annotated[
        int, typer.Option(min=0, help="Random boxes that each box is compared with when blanked out; 0 skips this.")
    ] = 9,
    change: Annotated[
        list[str] | None,
        typer.Option(help="What if the image were otherwise: hue=0.1, saturation=0, texture=4 ...; may be repeated."),
    ] = None,
    characteristics: Annotated[
        bool, typer.Option("--characteristics", help="Say of each match whether hue, shape, texture ... matter to it.")
    ] = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Say why: for each image a sheet 'this part looks like that part', and the numbers behind it."""
    from collections import deque
    from concurrent.futures import Future, ThreadPoolExecutor

    from protoexplain.data.dataset_view import view_of
    from protoexplain.devices import resolve_device
    from protoexplain.explanations.attribution.attribute import find_method
    from protoexplain.explanations.explainer import Explainer
    from protoexplain.io.atomic import require_writable, write_file

    sheets = _sheets(images, out)
    with named("--evidence"):
        explainer = Explainer(checkpoint, resolve_device(device), evidence)
    with named("--method"):
        find_method(method, "prototype")
    with named("--box"):
        rule = explainer.box_rule(box)
    with named("--change"):
        edit = _edit(change or [])
    with named("--class"):
        labels = None if why is None else [explainer.label(why)]
    with named("--against"):
        other = None if against is None else explainer.label(against)
    view = None if data is None else view_of(explainer.checkpoint, data)
    require_writable(out)
    explained, refused = [], []
    drawn: deque[Future[None]] = deque()
    with watching() as watcher, ThreadPoolExecutor(min(_AHEAD, os.cpu_count() or 1)) as drawing:
        for notice in (*(view.notices if view else ()), *(f"note: {notice}" for notice in explainer.notices)):
            watcher.line(notice)
        for number, path in enumerate(images):
            try:
                forward = forward_file(explainer, path, view)
            except UserError as error:
                refused.append(error)
                watcher.line(f"left out: {error}")
                continue
            result = explainer.explain(forward, labels=labels, top_classes=classes, rows=rows, box_rule=rule)
            if characteristics:
                result = explainer.with_characteristics(result)
            picture = sheets[number]
            draw, answers = _answers(explainer, result, other, rows, method, random_boxes, edit, rule)
            drawn.append(drawing.submit(_write, picture, draw))
            if len(drawn) > _AHEAD:
                drawn.popleft().result()
            explained.append({**result.explanation.to_dict(), **answers, "path": str(path), "picture": str(picture)})
            watcher.progress("explaining", number + 1, len(images))
        for future in drawn:
            future.result()
    content = finite({"checkpoint": str(checkpoint), "explanations": explained})
    write_file(out / RESULT, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    if as_json:
        print_json(content)
    else:
        for entry in explained:
            best = entry["predictions"][0]
            say(f"{entry['path']}: {best['name']} ({best['probability']:.1%}), see {entry['picture']}")
            for sentence in entry["sentences"]:
                say(f"  {sentence}")
    if refused and not explained:
        raise refused[0]
    if refused:
        raise UserError(f"{len(refused)} of {len(images)} images could not be read", "", "see the lines above")


def _write(path: Path, draw: Callable[[], bytes]) -> None:
    from protoexplain.io.atomic import write_file

    write_file(path, draw())


def _edit(changes: list[str]) -> Edit | None:
    """From words such as hue=0.1; None where there are none."""
    from protoexplain.explanations.evidence.what_if import Edit

    strengths = {}
    for word in changes:
        name, _, strength = word.partition("=")
        try:
            strengths[name.strip()] = float(strength)
        except ValueError as error:
            raise UserError(f"'{word}' is no change", "--change", "write name=number, such as hue=0.1") from error
    return Edit(strengths) if strengths else None


def _answers(
    explainer: Explainer,
    result: ExplainedImage,
    other: int | None,
    rows: int,
    method: str,
    random_boxes: int,
    edit: Edit | None,
    rule: BoxRule,
) -> tuple[Callable[[], bytes], dict[str, Any]]:
    """What draws the sheet of the first class, and the answers beside the explanation as JSON values."""
    from functools import partial

    from protoexplain.explanations.attribution.methods import METHODS
    from protoexplain.explanations.evidence.local import ABSTAINED, UNFAMILIAR
    from protoexplain.explanations.evidence.what_if import what_if
    from protoexplain.view.build import explanation_view
    from protoexplain.view.sentences import about_decision, about_pictures, about_what_if
    from protoexplain.view.sheet import SheetPictures, sheet

    shown, forward = result.explanation.classes[0], result.forward
    contrast = (
        explainer.contrast(forward, shown.label, other, rows, rule) if len(explainer.checkpoint.classes) > 1 else None
    )
    change = explainer.what_would_change(forward, box_rule=rule)
    tested = explainer.occlusion_test(forward, shown.found[:rows], random_boxes) if random_boxes else {}
    decision = about_decision(contrast, change)
    told = (*forward.notices, ABSTAINED, UNFAMILIAR)
    remarks = [f"Note: {remark}." for remark in told if remark in result.explanation.notices]
    sentences = remarks if forward.forward_pass.abstains else [*remarks, *decision]
    otherwise = None
    if edit is not None:
        otherwise = what_if(
            explainer.cropped(forward).forward_pass, explainer.edited(forward, edit).forward_pass, rows, box_rule=rule
        )
        sentences.append(about_what_if(otherwise))
    pictures = SheetPictures(
        result.explanation,
        result.rgb,
        lambda prototype: explainer.patch(prototype, rule),
        lambda prototype: explainer.source(prototype, rule),
        None if method == "map" else _heat(explainer, result, method),
    )
    view = explanation_view(
        result.explanation,
        pictures,
        drawn=explainer.model.prototype_source.decoded,
        occlusion=tested,
        sentences=sentences,
    )
    titles = about_pictures(view.drawn)
    if method != "map":
        titles = (titles[0], f"pixels that matter ({METHODS[method].title})", *titles[2:])
    return partial(sheet, view, pictures.arrays, titles), {
        "contrast": None if contrast is None else contrast.to_dict(),
        "what_would_change": None if change is None else change.to_dict(),
        "what_if": None if otherwise is None else otherwise.to_dict(),
        "box_tests": [entry.to_dict() for entry in tested.values()],
        "sentences": list(view.sentences),
    }


def _heat(explainer: Explainer, result: ExplainedImage, method: str) -> Callable[[Match], RGB]:
    """Match -> the attribution of its activation, over what the model saw."""
    from protoexplain.explanations.attribution.task import Target
    from protoexplain.explanations.overlays import attribution_overlay

    def heat(match: Match) -> RGB:
        found = explainer.attribute(result.forward, Target("prototype", match.prototype), [method], [])
        return attribution_overlay(result.forward.picture, found.maps[method])

    return heat


def forward_file(explainer: Explainer, path: Path, view: DatasetView | None) -> ForwardResult:
    """Run the model on a file, cropped as its data set says; notices say if the model was trained on it."""
    if view is None:
        return explainer.forward(path)
    forward = explainer.forward(path, box=view.region(path))
    return replace(forward, notices=(*forward.notices, *view.about(path)))


def _sheets(images: list[Path], out: Path) -> list[Path]:
    """Where the sheet of each image goes: named as the image, with its folder's name where several are named so.

    Raises:
        UserError: One would replace an image, or another picture in a folder of images.
    """
    stems = [_short(path.stem) for path in images]
    often = Counter(stems)
    names = [
        stem if often[stem] == 1 else f"{_short(path.resolve().parent.name)}-{stem}-{stems[:number].count(stem)}"
        for number, (path, stem) in enumerate(zip(images, stems, strict=True))
    ]
    sheets = [out / f"{name}.png" for name in names]
    given = {path.resolve() for path in images}
    among = out.resolve() in {path.parent for path in given} and not (out / RESULT).exists()
    for sheet in sheets:
        if sheet.exists() and (among or sheet.resolve() in given):
            raise UserError("this picture would be replaced by a sheet", str(sheet), "give another folder as --out")
    return sheets


def _short(name: str) -> str:
    """A name of at most 100 bytes, so that it can be part of another one; what is no text is left out."""
    return os.fsencode(name)[:100].decode(sys.getfilesystemencoding(), "ignore") or "picture"
