"""Correct a model: what is offered, what was decided, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.geometry import Box
from protoexplain.editing.candidates import box_of, candidate_at, candidates
from protoexplain.editing.decisions import (
    LONGEST_NAME,
    LONGEST_NOTE,
    REMOVE,
    REPROJECT,
    Decision,
    History,
    Reason,
)
from protoexplain.editing.preview import TRAIN, EditPreview
from protoexplain.editing.report import EditReport, PredictionChange
from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.overlays import RGB
from protoexplain.training.diagnose import repeated
from protoexplain.view.pictures import Picture, encoded, region_of
from protoexplain_app.examples import Examples
from protoexplain_app.links import Parameters, number
from protoexplain_app.pictures import prototype_picture
from protoexplain_app.tabs.prototypes.actions import Tile, relied_on, tile

REASONS: dict[Reason, str] = {
    "background": "It shows the background",
    "spurious": "It shows something that only happens to go with the class",
    "duplicate": "It shows the same as another one",
    "other": "Something else",
}
MARKS = {
    "background": "off the object",
    "repeated": "repeated",
    "other classes": "other classes",
    "silent": "never found",
    "unprojected": "no picture",
}
"""Kinds of findings in a word, the gravest first."""
CANDIDATE_SIDE, PICTURE_SIDE, SHOWN_CHANGES = 200, 420, 24


@dataclass(frozen=True)
class Query:
    """Which prototypes are shown.  Args: label: of a class, None for all; found: only those with findings."""

    label: int | None = None
    found: bool = False


@dataclass(frozen=True)
class MarkedTile:
    """A prototype in the gallery.  Args: tile: of it; marks: what is wrong with it; decision: about it."""

    tile: Tile
    marks: tuple[str, ...]
    decision: Decision | None


@dataclass(frozen=True)
class Candidate:
    """A patch that could be written.  Args: picture: with its box; value: names it in the form; image: record;
    similarity: to the prototype as it was learned."""

    picture: Picture
    value: str
    image: str
    similarity: float


@dataclass(frozen=True)
class CellGrid:
    """A training picture whose cells can be chosen.

    Args:
        place: Its number.
        image: Its record.
        picture: As the network saw it.
        rows: Of cells.
        columns: Of cells.
    """

    place: int
    image: str
    picture: Picture
    rows: int
    columns: int


@dataclass(frozen=True)
class OpenPrototype:
    """A prototype that is being decided on.

    Args:
        index: Its number.
        owner: Its class, None where shared.
        branch: Of the model, empty where it has one only.
        patch: The prototype.
        source: Its training picture.
        marks: What is wrong with it.
        decision: About it.
        movable: Whether a patch can be written into it.
        ready: Whether patches can be offered already.
        offers: These.
        pictures: Number and name of the training pictures that it could lie on.
        board: The chosen one of these.
    """

    index: int
    owner: str | None
    branch: str
    patch: Picture | None
    source: Picture | None
    marks: tuple[str, ...]
    decision: Decision | None
    movable: bool
    ready: bool
    offers: tuple[Candidate, ...] = ()
    pictures: tuple[tuple[int, str], ...] = ()
    board: CellGrid | None = None


@dataclass(frozen=True)
class ChangedPrediction:
    """A test picture that is named otherwise.  Args: token: of its small copy, None where there is none; change."""

    token: str | None
    change: PredictionChange


def parse_query(parameters: Parameters) -> Query:
    """From the parameters of an address."""
    return Query(number(parameters, "class"), parameters.get("found") == "1")


def marks_of(checkpoint: Checkpoint, report: EditReport | None) -> dict[int, tuple[str, ...]]:
    """Prototype -> what is wrong with it, by the report; without one, what the checkpoint itself tells."""
    concerned = report.concerned if report else {"repeated": repeated(checkpoint.prototypes).prototypes}
    marks: dict[int, tuple[str, ...]] = {}
    for kind, word in MARKS.items():
        for index in concerned.get(kind, ()):
            marks[index] = (*marks.get(index, ()), word)
    return marks


def gallery(explainer: Explainer, history: History, report: EditReport | None, query: Query) -> tuple[MarkedTile, ...]:
    """The prototypes that are asked for: those with findings first."""
    checkpoint = explainer.checkpoint
    label = query.label if query.label in range(len(checkpoint.classes)) else None
    chosen = sorted(relied_on(checkpoint.prototypes, explainer.model.class_weights().detach(), label))
    marks, kinds = marks_of(checkpoint, report), list(MARKS.values())
    found = [MarkedTile(tile(checkpoint, index), marks.get(index, ()), history.about(index)) for index in chosen]
    if query.found:
        found = [one for one in found if one.marks or one.decision]
    return tuple(sorted(found, key=lambda one: (-len(one.marks), [kinds.index(mark) for mark in one.marks])))


def open_prototype(
    checkpoint: Checkpoint,
    preview: EditPreview | None,
    history: History,
    report: EditReport | None,
    index: int,
    place: int | None,
) -> OpenPrototype:
    """A prototype, and the patches that could be written into it.

    Args:
        checkpoint: That is edited.
        preview: Of it; without one, no patches are offered yet.
        history: What was decided.
        report: What is wrong with its prototypes.
        index: Number of the prototype.
        place: Number of the training picture whose cells can be chosen.

    Raises:
        UserError: There is no such prototype, or a picture cannot be read.
    """
    if not 0 <= index < len(checkpoint.prototypes):
        raise UserError(f"there is no prototype {index}", "", "choose one of those that are shown")
    record = checkpoint.prototypes[index]
    branches = {one.branch for one in checkpoint.prototypes}
    movable = record.projected if preview is None else preview.model.prototype_source.projected
    shown = OpenPrototype(
        index=index,
        owner=checkpoint.owner_name(record.index),
        branch=record.branch if len(branches) > 1 else "",
        patch=prototype_picture(checkpoint, index, "patch"),
        source=prototype_picture(checkpoint, index, "source"),
        marks=marks_of(checkpoint, report).get(index, ()),
        decision=history.about(index),
        movable=movable,
        ready=preview is not None,
    )
    if preview is None or not movable:
        return shown
    images = preview.features[TRAIN].images
    pictures = tuple((i, Path(one.id).name) for i, one in enumerate(images) if record.belongs_to(one.label))
    others = tuple(decision for decision in history.now if decision.prototype != index)
    offers = tuple(
        Candidate(
            _shown(
                preview, one.place, f"Part of the training picture {Path(one.image).name}", box_of(preview, index, one)
            ),
            f"{one.place},{one.row},{one.column}",
            one.image,
            one.similarity,
        )
        for one in candidates(preview, index, others)
    )
    board = _cell_grid(preview, index, place) if place in dict(pictures) else None
    return OpenPrototype(**{**vars(shown), "offers": offers, "pictures": pictures, "board": board})


def parse_decision(
    preview: EditPreview | None, parameters: Parameters, prototype: int, who: str, date: str
) -> Decision:
    """What a visitor decided.

    Args:
        preview: Of the checkpoint.
        parameters: Of the form: reason, note, and either `do` or a cell.
        prototype: Its number.
        who: Decides.
        date: Of today.

    Raises:
        UserError: No reason or no patch was chosen, or one that cannot be used.
    """
    reason = next((known for known in REASONS if known == parameters.get("reason")), None)
    if reason is None:
        raise UserError("no reason was chosen", "", "say why the prototype is unwanted")
    note = parameters.get("note", "")[:LONGEST_NOTE]
    fields = {"prototype": prototype, "reason": reason, "note": note, "who": who[:LONGEST_NAME], "date": date}
    if parameters.get("do") == "remove" and "cell" not in parameters:
        return Decision.model_validate({**fields, "do": REMOVE})
    chosen = parameters.get("cell") or parameters.get("patch", "")
    parts = chosen.split(",")
    if preview is None or len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise UserError("no patch was chosen", "", "choose one of those that are offered, or a cell of a picture")
    found = candidate_at(preview, prototype, *(int(part[:9]) for part in parts))
    place = {"image": found.image, "row": found.row, "column": found.column}
    return Decision.model_validate({**fields, "do": REPROJECT, **place})


def changed_predictions(
    examples: Examples, checkpoint: Checkpoint, report: EditReport
) -> tuple[ChangedPrediction, ...]:
    """Test pictures that are named otherwise: those that are now wrong first."""
    tokens = {image.key: image.token for image in examples.of(checkpoint)} if report.changed else {}
    ordered = sorted(report.changed, key=lambda change: (not change.lost, not change.gained))
    return tuple(ChangedPrediction(tokens.get(change.image), change) for change in ordered)


def _cell_grid(preview: EditPreview, index: int, place: int | None) -> CellGrid | None:
    if place is None:
        return None
    rows, columns = preview.map_of(index)
    image = preview.features[TRAIN].images[place].id
    return CellGrid(place, image, _shown(preview, place, f"Training picture {image}", side=PICTURE_SIDE), rows, columns)


def _shown(preview: EditPreview, place: int, alt: str, box: Box | None = None, side: int = CANDIDATE_SIDE) -> Picture:
    """A training picture as the network saw it."""
    pixels = preview.pictures().pixels(place)[0]
    rgb: RGB = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    boxes = [region_of(box.as_list(), Box(0, 0, rgb.shape[1], rgb.shape[0]))] if box else []
    return encoded(rgb, alt, *boxes, side=side)
