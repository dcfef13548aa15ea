"""`protoexplain characteristics`: whether hue, saturation, contrast, brightness, texture or shape matters."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from protoexplain.cli.arguments import Data, MeasuredCheckpoint
from protoexplain.cli.output import Device, Json, print_json, say, watching
from protoexplain.cli.results import CopyTo, add_results, open_for_results

if TYPE_CHECKING:
    from protoexplain.explanations.characteristics.table import Characteristics


def register(app: typer.Typer) -> None:
    app.command()(characteristics)


def characteristics(
    checkpoint: MeasuredCheckpoint,
    data: Data,
    split: Annotated[
        Literal["train", "test"], typer.Option(help="Images that are looked at; explanations use train.")
    ] = "train",
    copy_to: CopyTo = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure which visible characteristics each prototype rests on.  An interrupted run goes on where it stopped."""
    from protoexplain.data.dataset_view import matching_view
    from protoexplain.devices import resolve_device
    from protoexplain.explanations.characteristics.appearance import likeness
    from protoexplain.explanations.characteristics.measurement import CharacteristicsMeasurement
    from protoexplain.explanations.characteristics.pairs import PAIRS, find_pairs
    from protoexplain.explanations.characteristics.table import METRIC
    from protoexplain.explanations.characteristics.words import about_prototype
    from protoexplain.explanations.explainer import Explainer

    explainer = Explainer(open_for_results(checkpoint, copy_to), resolve_device(device))
    loaded, config = explainer.checkpoint, explainer.checkpoint.config
    images = matching_view(loaded, data)
    records = images.train + images.validation if split == "train" else images.test
    with watching() as watcher:
        measurement = CharacteristicsMeasurement(
            explainer.model, loaded.weights_sha256, images.crop, config.data.image_size, watcher.progress
        )
        found = measurement.run(records, split, images.fingerprint)
    looks = likeness([explainer.patch(record.index) for record in loaded.prototypes])
    pairs = find_pairs(found, [record.label for record in loaded.prototypes], looks)
    measured = found.to_metrics()
    measured[METRIC][f"{split} {PAIRS}"] = [pair.to_dict() for pair in pairs]
    owners = [f" ({name})" if (name := loaded.owner_name(r.index)) else "" for r in loaded.prototypes]
    sentences = [about_prototype(found, p, f"prototype {p}{owner}") for p, owner in enumerate(owners)]

    def show() -> None:
        if as_json:
            print_json({"checkpoint": str(loaded.path), "metrics": measured, "sentences": sentences})
            return
        _print_table(found)
        for text in [*sentences, *(pair.sentence for pair in pairs), *images.notices, *images.problems]:
            say(text)

    add_results(loaded, measured, show)
    show()


def _print_table(found: Characteristics) -> None:
    """One line for each characteristic: scores over all prototypes, and how many rest on it."""
    from statistics import fmean

    from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS
    from protoexplain.explanations.characteristics.words import Verdict, prototype_findings

    prototypes = range(len(found.activation))
    findings = [one for prototype in prototypes for one in prototype_findings(found, prototype)]
    say(f"{len(prototypes)} prototypes, {found.images} {found.split} images; means over prototypes")
    titles = ("published", "strength", "calibrated", "strength", "matters", "hardly", "open")
    say(" " * 12 + "".join(f"{title:>11}" for title in titles))
    for name in found.names:
        column = found.names.index(name)
        published = [row[column] for row in found.published.value]
        own = [one for one in findings if one.name == name]
        numbers = (
            fmean([value for value in published if value is not None] or [nan]),
            MODIFICATIONS[name].strength,
            fmean([one.score for one in own] or [nan]),
            found.calibration.strengths[name],
        )
        counts = [sum(one.verdict is v for one in own) for v in (Verdict.MATTERS, Verdict.IRRELEVANT, Verdict.OPEN)]
        say(f"{name:12}" + "".join(f"{value:11.3g}" for value in numbers) + "".join(f"{n:11}" for n in counts))
