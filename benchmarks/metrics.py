"""Consistency and stability beside the network against the published loops; deletion in batches and one by one.

The slow arm is written from the published procedure: three passes over the test images (one for consistency, two for
stability), maps of all prototypes of all classes, an upsampled map and a scan for its maximum for each prototype of
the image's class, and Python loops over prototypes and parts.  Both arms get the same pictures in memory and a
network that costs next to nothing.  Annotations as in CUB: 200 classes x 10 prototypes, 15 parts, four in five
visible, 29 images for each of 100 classes.  Ours also gives intervals, curves and baselines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import Settings, compare, interleave, settings
from protoexplain.allocator import reuse_freed_memory
from protoexplain.config import parse
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.records import ImageRecord
from protoexplain.metrics.observe.masking import heat_ranks, masked_scores
from protoexplain.metrics.observe.model_description import ModelDescription, describe_model
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.observe.parts import read_parts
from protoexplain.metrics.observe.passes import Chunk, probabilities
from protoexplain.metrics.observe.plan import plan_passes
from protoexplain.metrics.registry import get_metric
from protoexplain.metrics.settings import MeasureSettings
from protoexplain.models.base import PrototypeModel
from protoexplain.models.registry import get_family

SIZE, PARTS, PER_CLASS, HALF_WINDOW, BATCH = 224, 15, 10, 36, 32
FASTER, DELETION_FASTER, PASSES = 10.0, 1.0, 2.0
NAMES = tuple(map(str, range(PARTS)))


class Coarse(nn.Module):
    """A backbone that only averages: features of each cell are a fixed mix of its mean colours."""

    def __init__(self, cells: int, channels: int) -> None:
        super().__init__()
        self.channels, self.cells, self.pictures = channels, cells, 0
        self.mix = nn.Parameter(torch.randn(channels, 3))

    def forward(self, images: Tensor) -> Tensor:
        self.pictures += len(images)
        return torch.einsum("dc,bchw->bdhw", self.mix, F.avg_pool2d(images, SIZE // self.cells) - 0.5)


@dataclass(frozen=True)
class Work:
    """A model, its test images in memory, and their annotations."""

    model: PrototypeModel
    description: ModelDescription
    pictures: Tensor
    records: tuple[ImageRecord, ...]
    geometries: tuple[Geometry, ...]

    @property
    def labels(self) -> Tensor:
        return torch.tensor([record.label for record in self.records])

    def images(self, start: int) -> Tensor:
        """A batch; pictures come again, since thousands of them do not fit into memory."""
        again = start % len(self.pictures)
        return self.pictures[again : again + min(BATCH, len(self.records) - start)]


def make_work(classes: int, each: int, count: int, cells: int) -> Work:
    """`count` test images of smooth noise, `each` for a class, until there are no more."""
    rng, box = np.random.default_rng(0), Box(10, 10, 190, 200)
    records = []
    for number in range(count):
        shown, places = rng.random(PARTS) < 0.8, rng.integers(20, 180, (PARTS, 2)).astype(float)
        spots = {name: tuple(place) if show else None for name, show, place in zip(NAMES, shown, places, strict=True)}
        records.append(ImageRecord(f"{number}.jpg", None, number // each, "test", box, spots))  # type: ignore[arg-type]
    torch.manual_seed(0)
    config = parse({"family": "protopnet", "model": {"prototypes_per_class": PER_CLASS, "prototype_channels": 64}})
    model = get_family("protopnet").build(config.model, classes, Coarse(cells, 32)).eval()
    pictures = F.interpolate(torch.rand(min(count, 128), 3, 5, 5), (SIZE, SIZE), mode="bicubic").clamp(0, 1)
    description = describe_model(model, tuple(map(str, range(classes))), SIZE, PER_CLASS)
    return Work(model, description, pictures, tuple(records), (Geometry(box, SIZE),) * count)


# ---------------------------------------------------------------------- ours


@torch.no_grad()
def ours(work: Work) -> tuple[float, float]:
    """Both scores as `measure` computes them; what was seen stays in memory."""
    options = MeasureSettings(draws=1, half_window=HALF_WINDOW)
    passes = plan_passes({"peaks", "noisy"}, options)
    rows: dict[str, list[dict[str, Tensor]]] = {one.name: [] for one in passes}
    for start in range(0, len(work.records), BATCH):
        part = slice(start, start + BATCH)
        chunk = Chunk(
            work.model,
            work.description,
            work.images(start),
            work.labels[part],
            work.records[part],
            work.geometries[part],
        )
        for one in passes:
            rows[one.name].append(one(chunk))
    columns = {name: {c: torch.cat([part[c] for part in parts]) for c in parts[0]} for name, parts in rows.items()}
    ids = tuple(record.id for record in work.records)
    parts = read_parts(work.records, work.geometries, NAMES, SIZE)
    observed = Observations(work.description, ids, work.labels, columns, options, "made up", parts)
    metrics = [get_metric(name) for name in ("consistency", "stability")]
    consistency, stability = (metric.compute(observed, metric.settings()).value for metric in metrics)
    return consistency, stability


# ---------------------------------------------------------------------- the published loops


def own_maps(work: Work, noisy: bool) -> np.ndarray:
    """[N,K,h,w]: a pass over all images; maps of all prototypes, of which those of the image's class are taken."""
    (_, branch), *_ = work.model.named_branches()
    taken = []
    for start in range(0, len(work.records), BATCH):
        images, labels = work.images(start), work.labels[start : start + BATCH]
        if noisy:
            images = images + torch.clamp(torch.randn(images.shape) * 0.2, -0.25, 0.25)
        z = branch.addon(work.model.backbone(images))
        squares = z.square().sum(1, keepdim=True) + branch.prototypes.square().sum(1)[:, 0, 0, None, None]
        maps = 2 * F.conv2d(z, branch.prototypes) - squares
        own = (labels * PER_CLASS)[:, None] + torch.arange(PER_CLASS)
        taken.append(maps.gather(1, own[:, :, None, None].expand(-1, -1, *maps.shape[2:])))
    return torch.cat(taken).numpy()


def window(activation: np.ndarray) -> tuple[int, int, int, int]:
    upsampled = cv2.resize(activation, dsize=(SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    rows, columns = np.where(upsampled == upsampled.max())
    y, x = int(rows[0]), int(columns[0])
    return max(0, y - HALF_WINDOW), min(SIZE, y + HALF_WINDOW), max(0, x - HALF_WINDOW), min(SIZE, x + HALF_WINDOW)


def part_pixels(record: ImageRecord, box: Box) -> list[tuple[int, int, int]]:
    spots = []
    for part, spot in enumerate((record.parts or {}).values()):
        if spot is not None:
            px = int(SIZE * ((int(spot[0]) - box.x0) / (box.x1 - box.x0)))
            py = int(SIZE * ((int(spot[1]) - box.y0) / (box.y1 - box.y0)))
            spots.append((part, px, py))
    return spots


def part_hits(work: Work, noisy: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each prototype: which parts it hits in each image of its class, and which parts show, both [n,T]."""
    maps, labels, found = own_maps(work, noisy), work.labels.numpy(), []
    for label in range(len(work.description.classes)):
        images = np.nonzero(labels == label)[0]
        if not len(images):
            continue
        spots = [part_pixels(work.records[image], work.geometries[image].crop) for image in images]
        shows = np.zeros((len(images), PARTS))
        for number, places in enumerate(spots):
            for part, _, _ in places:
                shows[number, part] = 1
        for prototype in range(PER_CLASS):
            hit = np.zeros((len(images), PARTS))
            for number, image in enumerate(images):
                y0, y1, x0, x1 = window(maps[image, prototype])
                for part, px, py in spots[number]:
                    if y0 <= py <= y1 and x0 <= px <= x1:
                        hit[number, part] = 1
            found.append((hit, shows))
    return found


@torch.no_grad()
def published(work: Work) -> tuple[float, float]:
    consistent = []
    for hit, shows in part_hits(work, noisy=False):
        share = hit.sum(0) / np.maximum(shows.sum(0), 1)
        consistent.append(int((share >= 0.8).any()))
    stable = []
    for (clean, _), (noisy, _) in zip(part_hits(work, noisy=False), part_hits(work, noisy=True), strict=True):
        stable.append((np.abs(clean - noisy).sum(1) == 0).mean())
    return 100 * float(np.mean(consistent)), 100 * float(np.mean(stable))


@torch.no_grad()
def network(work: Work) -> None:
    """One pass of the network up to its latent map."""
    (_, branch), *_ = work.model.named_branches()
    for start in range(0, len(work.records), BATCH):
        branch.addon(work.model.backbone(work.images(start)))


def passes_of(work: Work, score: Callable[[Work], tuple[float, float]]) -> tuple[tuple[float, float], float]:
    """What a way to score gives, and how often it looks at each image."""
    before = work.model.backbone.pictures
    found = score(work)
    return found, (work.model.backbone.pictures - before) / len(work.records)


def part_scores(options: Settings, cells: int) -> None:
    work = make_work(*((4, 2, 8) if options.quick else (200, 29, 2900)), cells)
    (slow, slow_passes), (fast, fast_passes) = passes_of(work, published), passes_of(work, ours)
    if abs(slow[0] - fast[0]) > 1e-9:
        raise SystemExit(f"consistency differs: {slow[0]} and {fast[0]}")
    options.verdict("passes of the network", fast_passes, PASSES)
    print(f"published: {slow_passes:.0f} passes; consistency {fast[0]:.1f} in both")
    print(f"stability {slow[1]:.1f} and {fast[1]:.1f} (other noise)")
    arms: dict[str, Callable[[], object]] = {
        "published loops": lambda: published(work),
        "ours": lambda: ours(work),
        "network, one pass": lambda: network(work),
    }
    results = interleave(arms, options.repeats, warm=False)
    title = f"{len(work.records)} images, {work.description.num_prototypes} prototypes, {cells} x {cells} cells"
    compare(title, results, "published loops")
    slow_ms, fast_ms, pass_ms = (1000 * median(results[arm].cpu) / len(work.records) for arm in arms)
    slow_ms, fast_ms = slow_ms - slow_passes * pass_ms, fast_ms - fast_passes * pass_ms
    print(f"beside the network, CPU ms for each image: {slow_ms:.2f} and {fast_ms:.2f}")
    options.verdict("times faster beside the network", slow_ms / fast_ms, FASTER, at_least=True)


# ---------------------------------------------------------------------- deletion


def deletion(options: Settings) -> None:
    """The pictures of an image at once and without gradients, against one by one with gradients, as published."""
    backbone = {"name": "test_efficientnet" if options.quick else "resnet18", "stride": 16, "weights": "none"}
    config = parse({"family": "protopnet", "model": {"backbone": backbone, "prototypes_per_class": PER_CLASS}})
    torch.manual_seed(0)
    model = get_family("protopnet").build(config.model, 20).eval()
    images = torch.rand(1 if options.quick else 2, 3, SIZE, SIZE)
    ranks = heat_ranks(torch.rand(len(images), 14, 14), SIZE)

    def batched() -> Tensor:
        with torch.no_grad():
            return masked_scores(model, images, probabilities(model, model(images)), ranks, 28, "deletion")

    def one_by_one() -> Tensor:
        rows = []
        for image, rank in zip(images, ranks, strict=True):
            label, row = int(probabilities(model, model(image[None]))[0].argmax()), []
            for step in range(29):
                gone = (rank < 1792 * step).view(1, SIZE, SIZE)
                picture = torch.where(gone, model.backbone.mean[0], image)
                row.append(probabilities(model, model(picture[None]))[0, label].detach())
            rows.append(torch.stack(row))
        return torch.stack(rows)

    torch.testing.assert_close(batched(), one_by_one(), atol=1e-5, rtol=1e-4)
    results = interleave({"one by one": one_by_one, "batched": batched}, options.repeats)
    compare(f"deletion of {len(images)} images in 28 steps, {backbone['name']}", results, "one by one")
    ratio = 1 / results["batched"].ratio(results["one by one"])
    options.verdict("times faster", ratio, DELETION_FASTER, at_least=True)


def main() -> None:
    options = settings(__doc__, repeats=2)
    reuse_freed_memory()
    for cells in (7, 14):
        part_scores(options, cells)
    deletion(options)


if __name__ == "__main__":
    main()
