"""Gather a report from a checkpoint and some pictures, once for all renderers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import protoexplain
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import DatasetView
from protoexplain.data.geometry import Box
from protoexplain.errors import UserError, nearest_name
from protoexplain.explanations.evidence.match import Match
from protoexplain.explanations.explainer import Explainer, ForwardResult
from protoexplain.models.registry import get_family
from protoexplain.report.gallery import gallery
from protoexplain.report.measured import accuracy, measures, prototype_words
from protoexplain.report.prototype_pictures import InlinePrototypePictures
from protoexplain.report.report import SECTIONS, Report
from protoexplain.report.sections import ModelCard, Refused, Reproduce
from protoexplain.report.wording import opening, printable
from protoexplain.view.build import explanation_view
from protoexplain.view.explanation_view import ExplanationView
from protoexplain.view.image_pictures import ImagePictures
from protoexplain.view.sentences import about_decision

ROWS, ROW_SIDE = 5, 220
Progress = Callable[[str, int, int], None]
_PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "jinja2")


def _no_progress(what: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class ReportImage:
    """A picture to explain.

    Args:
        path: The file.
        name: Shown for it; the file's name by default.
        box: Region to look at, in pixels of the picture; None for all of it.
        truth: Its class by the data set, None where unknown.
        notices: What the data set says about it beyond that, one sentence each.
    """

    path: Path
    name: str = ""
    box: Box | None = None
    truth: str | None = None
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReportOptions:
    """What goes into a report.

    Args:
        sections: Names in `SECTIONS`.
        command: That asked for the report; may be empty.
        originals: Id of a training image -> its file, to show whole training pictures.
    """

    sections: tuple[str, ...] = tuple(SECTIONS)
    command: str = ""
    originals: Mapping[str, Path] = field(default_factory=dict)


def require_sections(names: Sequence[str]) -> tuple[str, ...]:
    """The sections of these names, in their order.

    Raises:
        UserError: There are none, or one is unknown.
    """
    for name in names:
        if name not in SECTIONS:
            raise UserError(f"there is no section '{name}'", "", nearest_name(name, SECTIONS))
    if not names:
        raise UserError("a report without sections would be empty", "", f"choose some of {', '.join(SECTIONS)}")
    return tuple(name for name in SECTIONS if name in names)


def report_images(paths: Sequence[Path], view: DatasetView | None) -> list[ReportImage]:
    """Pictures to explain, with what a data set knows of them."""
    found = []
    for path in paths:
        image, record = ReportImage(path, printable(path.name)), view.find(path) if view else None
        if view and record:
            truth = view.image_set.classes[record.label]
            image = replace(image, box=view.region(path), truth=truth, notices=view.about(path))
        found.append(image)
    return found


def gather(
    explainer: Explainer,
    images: Sequence[ReportImage] = (),
    options: ReportOptions = ReportOptions(),
    progress: Progress = _no_progress,
) -> Report:
    """Gather a report.

    Args:
        explainer: The model.
        images: Pictures to explain; those that cannot be read are named in the report.
        options: What goes into it.
        progress: Told (what, done, total).

    Raises:
        UserError: No such section, none of the pictures can be read, or the checkpoint is damaged.
    """
    checkpoint, sections = explainer.checkpoint, require_sections(options.sections)
    pictures = InlinePrototypePictures(explainer.pictures, options.originals)
    views: list[ExplanationView] = []
    refused: list[UserError] = []
    left_out: list[Refused] = []
    for done, picture in enumerate(images if "images" in sections else (), 1):
        try:
            forward = explainer.forward(picture.path, name=picture.name, box=picture.box)
            forward = replace(forward, notices=(*forward.notices, *picture.notices))
        except UserError as error:
            refused.append(error)
            left_out.append(Refused(picture.name or picture.path.name, error.what))
        else:
            views.append(explained_image(explainer, forward, picture.truth, pictures))
        progress("explaining pictures", done, len(images))
    if refused and not views:
        raise refused[0]
    shown = [row.prototype for view in views for row in view.rows]
    return Report(
        title=f"{get_family(checkpoint.config.family).title} on {checkpoint.data.name}",
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        opening=opening(explainer),
        model=_model(checkpoint) if "model" in sections else None,
        accuracy=accuracy(checkpoint) if "accuracy" in sections else None,
        metrics=measures(checkpoint) if "metrics" in sections else None,
        images=tuple(views) if views else None,
        refused=tuple(left_out),
        prototypes=gallery(
            explainer,
            pictures,
            prototype_words(checkpoint),
            shown,
            partial(progress, "describing prototypes"),
        )
        if "prototypes" in sections
        else None,
        reproduce=_reproduce(checkpoint, options.command) if "reproduce" in sections else None,
    )


def explained_image(
    explainer: Explainer, forward: ForwardResult, truth: str | None, prototypes: InlinePrototypePictures
) -> ExplanationView:
    """One picture explained for its best class.

    Args:
        explainer: The model.
        forward: The picture.
        truth: Its class by the data set, None where unknown.
        prototypes: Gives the pictures of the prototypes.

    Raises:
        UserError: A picture of a prototype cannot be read.
    """
    explanation = explainer.explain(forward, top_classes=1, rows=ROWS).explanation
    shown = explanation.classes[0]
    contrast = explainer.contrast(forward) if len(explainer.checkpoint.classes) > 1 else None
    sentences = about_decision(contrast, explainer.what_would_change(forward))
    matches: list[Match] = [*shown.found, *shown.unwanted]
    return explanation_view(
        explanation,
        ImagePictures(explainer, forward, prototypes, layered=False, side=ROW_SIDE),
        truth=truth,
        drawn=explainer.model.prototype_source.decoded,
        occlusion=explainer.occlusion_test(forward, matches),
        sentences=() if forward.forward_pass.abstains else sentences,
    )


def _model(checkpoint: Checkpoint) -> ModelCard:
    config, family = checkpoint.config, get_family(checkpoint.config.family)
    return ModelCard(
        family=family.title,
        paper=family.paper,
        about=config.about,
        backbone=config.model.backbone.name,  # type: ignore[attr-defined]
        image_size=config.data.image_size,
        classes=checkpoint.classes,
        data=checkpoint.data,
        prototypes=len(checkpoint.prototypes),
        projected=sum(record.projected for record in checkpoint.prototypes),
        shared=all(record.owners is None for record in checkpoint.prototypes),
        of_several=sum(len(record.classes) > 1 for record in checkpoint.prototypes),
    )


def _reproduce(checkpoint: Checkpoint, command: str) -> Reproduce:
    python = ".".join(map(str, sys.version_info[:3]))
    return Reproduce(
        command=checkpoint.command,
        report_command=command,
        seed=checkpoint.config.training.seed,
        weights_sha256=checkpoint.weights_sha256,
        checkpoint_sha256=checkpoint.sha256,
        data_fingerprint=checkpoint.data.fingerprint,
        trained_with=dict(checkpoint.versions),
        reported_with={
            "protoexplain": protoexplain.__version__,
            "python": python,
            **{name: version(name) for name in _PACKAGES},
        },
        config=checkpoint.config.model_dump(mode="json"),
    )
