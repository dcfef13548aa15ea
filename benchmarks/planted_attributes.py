"""Do explanations name the planted attribute?  Twins differ in one attribute of one region; the truth is known.

Images of twins are explained in several ways, and the characteristic with the largest score must be the planted one.
Images are also redrawn with the twin's look of the region (same pose, light and surroundings): what that changes is
the evidence that the region carries, and tells whether a model looks at it at all.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.distinctions import Distinction, calibrated, distinguish, place_of
from benchmarks.timing import show
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.folders import find_checkpoints, shipped_checkpoints
from protoexplain.data.loading import cut, geometry_of
from protoexplain.data.read import read_image_set
from protoexplain.data.records import ImageRecord
from protoexplain.explanations.characteristics.calibration import disturbance, related
from protoexplain.explanations.characteristics.local_scores import LocalScores, local_scores
from protoexplain.explanations.characteristics.measurement import CharacteristicsMeasurement
from protoexplain.explanations.characteristics.perturbations import MODIFICATIONS, RGB
from protoexplain.explanations.characteristics.variants import PUBLISHED, variants
from protoexplain.io.images import load_image
from protoexplain.planted import Twins, image_seed, plan, render
from protoexplain.planted.plumage import number

ATTRIBUTES = ("hue", "shape", "texture", "contrast", "saturation")
ROWS = [list(MODIFICATIONS).index(name) for name in ATTRIBUTES]
TARGET, TARGET_EACH = 0.8, 0.6
TARGETED = "in place, both twins"
ON_PART = 0.05
"""Least share of a peak's cell that the part must cover."""
CARRIES = 0.05
"""Least share of the evidence that a prototype must carry to be asked."""


@dataclass(frozen=True)
class Picture:
    """An image of one twin and the same redrawn as the other, cut to the bird's box.

    Args:
        region: Where the planted region of this twin shows.
        part: The same, and where redrawing changes the image.
    """

    record: ImageRecord
    twins: Twins
    own: int
    other: int
    rgb: RGB
    redrawn: RGB
    region: np.ndarray
    part: np.ndarray


@dataclass(frozen=True)
class Explained:
    """A picture's scores.

    Args:
        picture: The picture.
        published: Local scores with the published changes.
        equal: With changes of equal strength.
        after: [P] activations after redrawing.
        lead: Of the class over its twin after redrawing.
        on_part: [P] whether a prototype's peak lies on the region.
        at_part: Distinction from the twin by changes of the region.
        published_at_part: By the published changes of the region.
        at_peaks: By changes of the place where the model finds most evidence against the twin.
    """

    picture: Picture
    published: LocalScores
    equal: LocalScores
    after: Tensor
    lead: float
    on_part: Tensor
    at_part: Distinction
    published_at_part: Distinction
    at_peaks: Distinction


@dataclass(frozen=True)
class Answer:
    """What was planted, and the attribute that an explanation named."""

    planted: str
    named: str


def pictures(root: Path, images: int) -> Iterator[Picture]:
    """The first test images of every class that has a twin."""
    settings, image_set = json.loads((root / "planted.json").read_text()), read_image_set(root)
    birds = plan(settings["classes"], settings["seed"])
    for twins in birds.twins:
        for own, other in (twins.classes, twins.classes[::-1]):
            records = [record for record in image_set.split("test") if record.label == own]
            for index, record in enumerate(records[:images]):
                seed = image_seed(settings["seed"], "test", own, index)
                here, there = (render(birds.birds[label], seed, settings["size"]) for label in (own, other))
                shows = here.regions == number(twins.region)
                differs = np.abs(here.image.astype(int) - there.image).max(2) > 8
                geometry = geometry_of(record, (settings["size"],) * 2, "box", 1)
                region, part = (cut(_wider(mask), geometry)[..., 0] > 0 for mask in (shows, shows | differs))
                if region.any():
                    rgb, redrawn = (cut(rgb, geometry) for rgb in (load_image(record.path).rgb, there.image))
                    yield Picture(record, twins, own, other, rgb, redrawn, region, part)


def _wider(mask: np.ndarray) -> np.ndarray:
    """[H,W,1]: two pixels wider on all sides."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)))[..., None]


def published_in_place(rgb: RGB, mask: np.ndarray) -> dict[str, tuple[RGB, ...]]:
    """The published changes, within a place with a soft edge."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2)[..., None]
    changed = {name: rgb + soft * (change(rgb).astype(np.float32) - rgb) for name, change in MODIFICATIONS.items()}
    return {name: ((picture + 0.5).clip(0, 255).astype(np.uint8),) for name, picture in changed.items()}


def explained(
    measurement: CharacteristicsMeasurement, changes: Sequence[tuple[str, float]], picture: Picture
) -> Explained:
    model, size, rgb = measurement.model, measurement.size, picture.rgb
    scores = partial(local_scores, model, rgb, size, cache=measurement.textures)
    published = scores(PUBLISHED)
    with torch.inference_mode():
        features = model.backbone(variants(picture.redrawn, size, [])[:1].float() / 255)
        after = model.activations(features)
        logits = model.from_activations(after).logits[0]
        height, width = model.activation_maps(features)[0].shape[2:]
    covered = cv2.resize(picture.part.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    place = place_of(model, rgb, size, picture.own, picture.other)
    return Explained(
        picture,
        published,
        scores(changes),
        after[0],
        float(logits[picture.own] - logits[picture.other]),
        torch.from_numpy(covered).flatten()[published.cells] > ON_PART,
        distinguish(model, rgb, size, picture.region, picture.own, picture.other),
        distinguish(model, rgb, size, picture.region, picture.own, picture.other, published_in_place),
        distinguish(model, rgb, size, place, picture.own, picture.other),
    )


@dataclass(frozen=True)
class Study:
    """All explained pictures of one model."""

    weights: Tensor
    found: list[Explained]

    def sides(self) -> list[list[Explained]]:
        """The pictures of each class."""
        labels = sorted({one.picture.own for one in self.found})
        return [[one for one in self.found if one.picture.own == label] for label in labels]

    def separating(self, one: Explained) -> Tensor:
        """[P]: what a unit of each activation adds to the lead over the twin."""
        return self.weights[one.picture.own] - self.weights[one.picture.other]

    def evidence(self, one: Explained) -> Tensor:
        """[P]: what each prototype's evidence for the class against its twin loses by redrawing."""
        return self.separating(one) * (one.published.activations - one.after)

    def scale(self, kind: str) -> Tensor:
        """[M]: mean change of unrelated prototypes."""
        labels = torch.tensor([one.picture.own for one in self.found])
        scores = torch.stack([getattr(one, kind).scores for one in self.found])
        return disturbance(scores, ~related(self.weights, labels))

    def of_prototypes(self, kind: str) -> list[Answer]:
        """One answer for each prototype that lies on the part and carries evidence against the twin."""
        answers, scale = [], self.scale(kind) if kind == "equal" else torch.ones(len(MODIFICATIONS))
        for side in self.sides():
            carried = torch.stack([self.evidence(one) for one in side]).mean(0)
            on = torch.stack([one.on_part for one in side]).float().mean(0) >= 0.5
            helps = (self.separating(side[0]) > 0) & (carried > CARRIES * carried.clamp_min(0).sum())
            for prototype in (on & helps).nonzero()[:, 0].tolist():
                here = [getattr(one, kind).scores[:, prototype] for one in side if one.on_part[prototype]]
                answers.append(_answer(side, torch.stack(here).mean(0) / scale))
        return answers

    def pairs(self) -> list[list[Explained]]:
        """The pictures of each pair of twins."""
        sides = self.sides()
        return [one + other for one, other in zip(sides[::2], sides[1::2], strict=True)]

    def two_pictures(self) -> list[list[Explained]]:
        """One picture of each of two twins."""
        sides = self.sides()
        return [
            [*both]
            for one, other in zip(sides[::2], sides[1::2], strict=True)
            for both in zip(one, other, strict=False)
        ]

    def of_evidence(self, kind: str) -> list[Answer]:
        """One answer for each pair, from what the lead over the twin loses on the part."""
        answers, scale = [], self.scale(kind) if kind == "equal" else torch.ones(len(MODIFICATIONS))
        for pair in self.pairs():
            lost = [(getattr(one, kind).scores * self.separating(one) * one.on_part).sum(1) for one in pair]
            answers.append(_answer(pair, torch.stack(lost).mean(0) / scale))
        return answers

    def in_place(self, kind: str, groups: Sequence[list[Explained]]) -> list[Answer]:
        """One answer for each group of pictures, from changes in place."""
        every = [getattr(one, kind) for one in self.found]
        scores = [calibrated([getattr(one, kind) for one in group], every) for group in groups]
        return [
            _answer(group, torch.tensor([score[name] for name in MODIFICATIONS]))
            for group, score in zip(groups, scores, strict=True)
        ]

    def share_on_part(self) -> float:
        """Of the evidence for classes against their twins: the share whose peaks lie on the part."""
        inside = sum(float((self.evidence(one).clamp_min(0) * one.on_part).sum()) for one in self.found)
        return inside / sum(float(self.evidence(one).clamp_min(0).sum()) for one in self.found)

    def decided_by_part(self) -> float:
        """Share of the pictures that are taken for the twin once the region is redrawn."""
        return sum(one.lead < 0 for one in self.found) / len(self.found)


def _answer(group: Sequence[Explained], scores: Tensor) -> Answer:
    return Answer(group[0].picture.twins.attribute, ATTRIBUTES[int(scores[ROWS].argmax())])


def hits(answers: Sequence[Answer]) -> list[float]:
    """Hit rate over all, then for each attribute; NaN where none was asked."""
    groups = [answers, *([one for one in answers if one.planted == name] for name in ATTRIBUTES)]
    return [float(np.mean([a.named == a.planted for a in group])) if group else float("nan") for group in groups]


def confusion(answers: Sequence[Answer]) -> np.ndarray:
    """[planted, named] counts."""
    table = np.zeros((len(ATTRIBUTES), len(ATTRIBUTES)), dtype=int)
    for one in answers:
        table[ATTRIBUTES.index(one.planted), ATTRIBUTES.index(one.named)] += 1
    return table


def draw(results: dict[str, dict[str, list[Answer]]], path: Path) -> None:
    """Confusion matrices: a row for each model, a column for each way to explain."""
    columns = len(next(iter(results.values())))
    figure = Figure(figsize=(2.9 * columns, 2.9 * len(results)), layout="constrained")
    axes = figure.subplots(len(results), columns, squeeze=False)
    for row, (model, ways) in zip(axes, results.items(), strict=True):
        for axis, (way, answers) in zip(row, ways.items(), strict=True):
            table = confusion(answers)
            shares = table / np.maximum(table.sum(1, keepdims=True), 1)
            axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
            for (i, j), count in np.ndenumerate(table):
                colour = "white" if shares[i, j] > 0.45 else "black"
                axis.text(j, i, count or "", ha="center", va="center", color=colour)
            axis.set_xticks(range(len(ATTRIBUTES)), ATTRIBUTES, rotation=60, fontsize=8)
            axis.set_yticks(range(len(ATTRIBUTES)), ATTRIBUTES, fontsize=8)
            axis.set_title(f"{model}\n{way}: {hits(answers)[0]:.0%}", fontsize=9)
    figure.supxlabel("named")
    figure.supylabel("planted")
    figure.savefig(path, dpi=90)


def study(checkpoint: Path, shown: Sequence[Picture]) -> Study:
    loaded = Checkpoint.load(checkpoint)
    model, size = loaded.model(), loaded.config.data.image_size
    measurement = CharacteristicsMeasurement(model, loaded.weights_sha256, "box", size, lambda what, done, total: None)
    first = {picture.own: picture.record for picture in reversed(shown)}
    strengths = measurement.equal_strengths(list(first.values()))
    print(f"{checkpoint.name}: equal strengths {strengths}", flush=True)
    found = [explained(measurement, tuple(strengths.items()), picture) for picture in shown]
    return Study(model.class_weights().detach(), found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoints", nargs="*", type=Path, help="folders of checkpoints; the shipped ones by default")
    parser.add_argument(
        "--data", type=Path, default=Path("data/planted-birds"), help="planted birds, as they were drawn"
    )
    parser.add_argument("--images", type=int, default=6, help="test images of each class")
    parser.add_argument("--picture", type=Path, default=Path("planted-attributes.png"), help="confusion matrices")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    shown = list(pictures(given.data, given.images))
    results: dict[str, dict[str, list[Answer]]] = {}
    for checkpoint in given.checkpoints or find_checkpoints(shipped_checkpoints()):
        one = study(checkpoint, shown)
        name = Checkpoint.load(checkpoint, verify=False).config.family
        name = name if name not in results else f"{name} ({checkpoint})"
        results[name] = ways = {
            "prototypes, published": one.of_prototypes("published"),
            "prototypes, calibrated": one.of_prototypes("equal"),
            "lead, published": one.of_evidence("published"),
            "lead, calibrated": one.of_evidence("equal"),
            "published changes in place": one.in_place("published_at_part", one.pairs()),
            TARGETED: one.in_place("at_part", one.pairs()),
            "in place, one picture of each": one.in_place("at_part", one.two_pictures()),
            "in place, one twin alone": one.in_place("at_part", one.sides()),
            "place found by the model": one.in_place("at_peaks", one.pairs()),
        }
        title = (
            f"{name}, {len(shown)} images; {one.decided_by_part():.0%} are taken for the twin once the part is redrawn;"
            f"\n{one.share_on_part():.0%} of the evidence peaks on it; hit rates (chance {1 / len(ATTRIBUTES):.0%})"
        )
        rows = [(way, len(answers), *hits(answers)) for way, answers in ways.items()]
        show(title, ("explanation", "asked", "all", *ATTRIBUTES), rows)
        overall, *each = hits(ways[TARGETED])
        for what, value, target in (("overall", overall, TARGET), ("worst", float(np.nanmin(each)), TARGET_EACH)):
            print(f"{TARGETED}, {what}: {value:.0%} (target {target:.0%}) {'met' if value >= target else 'MISSED'}")
    draw(results, given.picture)


if __name__ == "__main__":
    main()
