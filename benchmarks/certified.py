"""Certified accuracy of a shallow CBC beside its accuracy under attack: nothing may be found within a certified radius.

`python -m benchmarks.certified CHECKPOINT DATA` attacks the first test images of each class with Foolbox (Rauber
et al. 2020): DeepFool, which looks for the nearest picture of another class, and projected gradient descent within each
radius, from several random starts.  The share of images that stay right under all of them is an upper bound of what can
be certified; images that were flipped within their certified radius are violations, and would mean that the proof or
the program is wrong.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import foolbox
import torch
from torch import Tensor, nn

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import matching_view
from protoexplain.data.loading import batches
from protoexplain.metrics.scores.certified_accuracy import CertificateSettings
from protoexplain.models.families.shallow_cbc.network import ShallowCBC
from protoexplain.models.family import FamilyConfig

BATCH = 500
DEEPFOOL_STEPS, PGD_STEPS, STARTS = 50, 40, 2


class AsCompared(nn.Module):
    """The model on pictures as it compares them: grey ones have one channel, so that moves are as long as certified."""

    def __init__(self, model: ShallowCBC) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> Tensor:
        return self.model(pictures.expand(-1, 3, -1, -1)).logits


@dataclass(frozen=True)
class Attacked:
    """What is known of N images.

    Args:
        certified: [N] radius for the image's own class; not positive where the answer is wrong.
        nearest: [N] length of the shortest move that was found to a picture of another class; 0 where the answer is
            wrong, infinite where none was found.
    """

    certified: Tensor
    nearest: Tensor

    @property
    def violations(self) -> int:
        """Images that a move within their certified radius flips."""
        return int(((self.certified > 0) & (self.nearest < self.certified)).sum())

    def row(self, radius: float) -> tuple[float, float]:
        """Shares of images: certified at a radius, and right under all attacks up to it."""
        right = self.certified > 0
        certified = right & (self.certified >= radius)
        return float(certified.float().mean()), float((right & (self.nearest > radius)).float().mean())


def attack(model: ShallowCBC, pictures: Tensor, labels: Tensor, radii: tuple[float, ...], seed: int = 0) -> Attacked:
    """Attack pictures [N,C,S,S], as the model compares them, with all methods and at all radii."""
    torch.manual_seed(seed)
    seen = AsCompared(model).eval()
    attacked = foolbox.PyTorchModel(seen, bounds=(0, 1), device=pictures.device)
    with torch.no_grad():
        output = model(pictures.expand(-1, 3, -1, -1))
        certified = model.certified_radius(output, labels)
    nearest = torch.where(output.logits.argmax(1) == labels, torch.inf, 0.0)

    def note(found: Tensor, flipped: Tensor) -> None:
        """Foolbox may end at pictures that are right after all: only what the model says counts."""
        lengths = (found - pictures).flatten(1).norm(dim=1)
        with torch.no_grad():
            fooled = flipped & (seen(found).argmax(1) != labels)
        nearest.copy_(torch.where(fooled, torch.minimum(nearest, lengths), nearest))

    deepfool = foolbox.attacks.L2DeepFoolAttack(steps=DEEPFOOL_STEPS, candidates=model.classes)
    _, found, flipped = deepfool(attacked, pictures, labels, epsilons=[None])
    note(found[0], flipped[0])
    pgd = foolbox.attacks.L2ProjectedGradientDescentAttack(steps=PGD_STEPS)
    wanted = [radius for radius in radii if radius > 0]
    for _ in range(STARTS):
        for found_at, flipped_at in zip(*pgd(attacked, pictures, labels, epsilons=wanted)[1:], strict=True):
            note(found_at, flipped_at)
    return Attacked(certified, nearest)


def test_pictures(checkpoint: Checkpoint, model: ShallowCBC, data: Path, per_class: int) -> tuple[Tensor, Tensor]:
    """The first test images of each class [N,C,S,S], as the model compares them, and their labels."""
    view = matching_view(checkpoint, data)
    left = dict.fromkeys(range(len(checkpoint.classes)), per_class)
    chosen = []
    for record in view.test:
        if left[record.label]:
            left[record.label] -= 1
            chosen.append(record)
    dataset = view.dataset(tuple(chosen), checkpoint.config.data)
    parts = [(batch.images[:, 0], batch.labels) for batch in batches(dataset, range(len(dataset)), BATCH)]
    pictures = torch.cat([model.branch.addon(images) for images, _ in parts])
    return pictures, torch.cat([labels for _, labels in parts])


def report(found: Attacked, radii: tuple[float, ...]) -> str:
    """A table in Markdown."""
    lines = ["| radius | certified | right under attack |", "|---:|---:|---:|"]
    for radius in radii:
        certified, right = found.row(radius)
        lines.append(f"| {radius:g} | {certified:.1%} | {right:.1%} |")
    flipped = found.nearest.isfinite() & (found.certified > 0)
    ratio = (found.nearest[flipped] / found.certified[flipped]).median()
    told = f"{len(found.certified)} images, {found.violations} flipped within their certified radius"
    lines += ["", f"{told}; the nearest of another class that were found lie {ratio:.2f} times as far (median)"]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=100, help="of each class")
    given = parser.parse_args()
    checkpoint = Checkpoint.load(given.checkpoint)
    model = checkpoint.model(torch.device("cpu"))
    settings = checkpoint.config.model
    if not (isinstance(model, ShallowCBC) and isinstance(settings, FamilyConfig) and settings.certified):
        parser.error("only shallow CBC has a certificate, with a kernel and without an encoder")
    pictures, labels = test_pictures(checkpoint, model, given.data, given.images)
    radii = CertificateSettings().radii
    parts = zip(pictures.split(BATCH), labels.split(BATCH), strict=True)
    found = [attack(model, some, named, radii) for some, named in parts]
    whole = Attacked(torch.cat([one.certified for one in found]), torch.cat([one.nearest for one in found]))
    print(report(whole, radii))


if __name__ == "__main__":
    main()
