"""What is done with a tiny model of a family on a device, each with its largest deviations from the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.device_compare import (
    AFTER_TRAINING,
    FABRIC,
    Deviation,
    Told,
    numbers_of,
    of_forward,
    of_search,
    relative,
    whole_passes,
)
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.config import RunConfig, parse, with_training
from protoexplain.data.dataset_view import DatasetView, matching_view
from protoexplain.editing.decisions import Decisions
from protoexplain.editing.edit import edit
from protoexplain.explanations.attribution.task import Target
from protoexplain.explanations.evidence.what_if import Edit, what_if
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.prototypes.prototype import explain_prototypes
from protoexplain.fabric import make_fabric
from protoexplain.metrics.observe.images import read_test_images
from protoexplain.metrics.observe.needs import missing_needs
from protoexplain.metrics.registry import get_metric
from protoexplain.metrics.runner import measure
from protoexplain.models.registry import get_family
from protoexplain.planted import draw
from protoexplain.progress import Silent
from protoexplain.training import checkpoint_ops
from protoexplain.training.run import train
from protoexplain.training.schedule import network_stages, scheduled
from protoexplain.training.verify import verify

CLASSES, SIDE, EPOCHS = 4, 32, 5
METRICS = (
    "accuracy",
    "projection_gap",
    "purity",
    "consistency",
    "stability",
    "augmentation_stability",
    "pointing_game",
    "deletion",
    "insertion",
)
"""One or more of each kind of pass."""
FEW = {"images_per_class": 1, "draws": 1, "steps": 2, "resamples": 100}
REMOVAL = {"format": 1, "epochs": EPOCHS, "decisions": [{"prototype": 0, "do": "remove", "reason": "other"}]}
ADDITIVE = 1e-4
"""Evidence must add up to the score so nearly on any device."""


def draw_birds(folder: Path) -> None:
    """The data set of all tiny models."""
    draw(folder, classes=CLASSES, train_per_class=6, test_per_class=2, size=64)


def shortest(family: str, device: str, precision: str) -> RunConfig:
    """A tiny model that goes once through every kind of stage of its schedule."""
    tiny = get_family(family).tiny
    config = parse(
        {
            "family": family,
            "model": {"backbone": {"name": "test_efficientnet", "stride": 8, "weights": "none"}, **tiny},
            "data": {"image_size": tiny.get("image_size", SIDE), "validation": 0.2, "augmentation": "light_two_views"},
            "training": {
                "batch_size": 8,
                "accelerator": device,
                "precision": FABRIC[precision],
                "threads": 1,
                "fine_tuning": {"epochs": 1},
            },
        }
    )
    return with_training(config, epochs=len(network_stages(scheduled(config), config.training)))


@dataclass
class Work:
    """A tiny model and where it is worked on.

    Args:
        family: Its name.
        device: As `--device` names it.
        precision: Of the training.
        data: Folder of the birds.
        folder: Of what is made.
        told: Filled by what is done.
    """

    family: str
    device: str
    precision: str
    data: Path
    folder: Path
    told: Told = field(default_factory=Told)

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint.load(self.folder / "run" / "best")

    @cached_property
    def view(self) -> DatasetView:
        return matching_view(self.checkpoint, self.data)

    @property
    def pictures(self) -> tuple[Tensor, Tensor]:
        """Training pictures [N,3,S,S] and their labels [N]."""
        dataset = self.view.dataset(self.view.train, self.checkpoint.config.data)
        rows = [dataset[i] for i in range(len(dataset))]
        return torch.stack([images[0] for images, _, _ in rows]), torch.tensor([label for _, label, _ in rows])

    @property
    def shared(self) -> bool:
        """Whether all classes share its prototypes, which are then not pruned."""
        return self.checkpoint.model().ownership.all_shared


def trains(work: Work) -> list[Deviation]:
    """Train on the device; the CPU then finds the files whole and each prototype on its patch."""
    train(shortest(work.family, work.device, work.precision), work.folder / "run", data_path=work.data)
    return [_proved(work, work.checkpoint, device) for device in (work.device, "cpu")]


def looks(work: Work) -> list[Deviation]:
    """One forward pass in the precision of the training."""
    fabric = make_fabric(work.device, precision=FABRIC[work.precision])
    return of_forward(fabric, work.checkpoint.model(), work.pictures[0], work.precision)


def projects(work: Work) -> list[Deviation]:
    """Search the nearest patches; where the family writes them into prototypes, do so and refit the last layer."""
    deviations, note = of_search(
        make_fabric(work.device), work.checkpoint.model(), *work.pictures, precision=work.precision
    )
    work.told.notes.append(note)
    if not work.checkpoint.model().prototype_source.projected:
        return deviations
    made = checkpoint_ops.reproject(
        work.checkpoint.path, work.data, work.folder / "projected", Silent(), "", epochs=EPOCHS, device=work.device
    )
    return [*deviations, _proved(work, made.checkpoint, "cpu")]


def prunes(work: Work) -> list[Deviation]:
    """Remove prototypes on the device and on the CPU; the same are left."""
    if work.shared:
        work.told.notes.append("not pruned: all classes share the prototypes")
        return []
    made = {
        device: checkpoint_ops.prune(
            work.checkpoint.path,
            work.data,
            work.folder / f"pruned-{name}",
            Silent(),
            "",
            threshold=1,
            epochs=EPOCHS,
            device=device,
        ).checkpoint
        for name, device in (("there", work.device), ("here", "cpu"))
    }
    return [*_same_model(work, made[work.device], made["cpu"]), _proved(work, made[work.device], "cpu")]


def measures(work: Work) -> list[Deviation]:
    """One metric of each kind of pass, on the device and on the CPU."""
    lacks = missing_needs(work.checkpoint, read_test_images(work.checkpoint, work.data), None)
    names = [name for name in METRICS if not get_metric(name).needs & lacks.keys()]
    there, here = (
        measure(work.checkpoint, work.data, names, FEW, fabric=make_fabric(device)) for device in (work.device, "cpu")
    )
    allowed = whole_passes(work.precision)
    scores = {name: [float(found[name].score.value) for found in (there, here)] for name in names}
    return [Deviation(name, relative(*map(torch.tensor, pair)), allowed) for name, pair in scores.items()]


def edits(work: Work) -> list[Deviation]:
    """Drop a prototype and refit the head, as the app does it."""
    decisions = Decisions.model_validate(REMOVAL)
    made = [
        edit(work.checkpoint.path, decisions, work.data, work.folder / f"edited-{name}", device=device).checkpoint
        for name, device in (("there", work.device), ("here", "cpu"))
    ]
    left = len(made[0].prototypes) - len(work.checkpoint.prototypes)
    return [Deviation("prototypes left", abs(left + 1), 0), *_same_model(work, *made)]


def explains(work: Work) -> list[Deviation]:
    """Everything that the app shows of an image, and all prototypes."""
    allowed = whole_passes(work.precision)
    told, additive = [], 0.0
    for device in (work.device, "cpu"):
        content, error = _explanations(work, torch.device(device))
        told.append(content)
        additive = max(additive, error)
    deviations = [Deviation(name, _relative_numbers(told[0][name], told[1][name]), allowed) for name in sorted(told[1])]
    return [*deviations, Deviation("evidence adds up", additive, ADDITIVE)]


def _explanations(work: Work, device: torch.device) -> tuple[dict[str, object], float]:
    """What is told of a test image, and the error of the sum of its evidence."""
    explainer = Explainer(work.checkpoint, device)
    forward = explainer.forward(work.view.test[0].path)
    result = explainer.with_characteristics(explainer.explain(forward, rows=3))
    contrast, change = explainer.contrast(forward), explainer.what_would_change(forward)
    explainer.occlusion_test(forward, result.explanation.classes[0].found, 2)
    edited = explainer.edited(forward, Edit({"hue": 0.1})).forward_pass
    difference = what_if(explainer.cropped(forward).forward_pass, edited)
    pixels = explainer.attribute(forward, Target("class", 1), ["saliency", "map", "grad-cam"])
    splits = {"test": work.view.dataset(work.view.test, work.checkpoint.config.data)}
    prototypes = explain_prototypes(explainer.model, work.checkpoint.prototypes, work.checkpoint.classes, splits, 2)
    explanation = result.explanation.to_dict()
    errors = (explanation["additive_error"], contrast.to_dict()["additive_error"], difference.check())
    return {
        "predictions": explanation["predictions"],
        "change": None if change is None else change.to_dict(),
        "explained pixels": pixels.to_dict()["value"],
        "nearest to prototypes": [[near.similarity for near in entry.splits["test"].nearest] for entry in prototypes],
    }, max(errors)


def _relative_numbers(there: object, here: object) -> float:
    pair = [torch.tensor(numbers_of(content)) for content in (there, here)]
    return relative(*pair) if len(pair[0]) == len(pair[1]) else float("inf")


def _proved(work: Work, checkpoint: Checkpoint, device: str) -> Deviation:
    """Share of the questions of `verify` that are answered wrongly; its own tolerance is a thousandth."""
    checks = verify(checkpoint, matching_view(checkpoint, work.data), device).checks
    wrong = [check for check in checks if not check.passed]
    work.told.notes += [
        f"verify on {device}: {check.name}: {check.detail} {list(check.offenders[:3])}" for check in wrong
    ]
    return Deviation(f"verified on {device}", len(wrong) / len(checks), 0)


def _same_model(work: Work, there: Checkpoint, here: Checkpoint) -> list[Deviation]:
    """The same prototypes, and nearly the same class scores on the CPU."""
    images, allowed = work.pictures[0], AFTER_TRAINING * whole_passes(work.precision)
    with torch.no_grad():
        scores = [made.model()(images).logits for made in (there, here)]
    return [
        Deviation("number of prototypes", abs(len(there.prototypes) - len(here.prototypes)), 0),
        Deviation("logits after the refit", relative(*scores), allowed),
    ]


WORKS: dict[str, Callable[[Work], list[Deviation]]] = {
    "train": trains,
    "forward": looks,
    "project": projects,
    "prune": prunes,
    "measure": measures,
    "edit": edits,
    "explain": explains,
}
"""In this order; all but the first need what it leaves."""
