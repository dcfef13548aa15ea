"""Observations made of random numbers, in any order of images and prototypes; and small measured checkpoints."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.class_parts import ClassParts
from protoexplain.data.geometry import Box
from protoexplain.data.records import ImageRecord
from protoexplain.metrics.observe.box_noise import MEASURES
from protoexplain.metrics.observe.localisation import LEVELS, Region
from protoexplain.metrics.observe.model_description import ModelDescription, assign
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.observe.part_rules import BASELINES
from protoexplain.metrics.observe.parts import Parts
from protoexplain.metrics.observe.patches import TrainingPatches
from protoexplain.metrics.observe.views import VIEWS
from protoexplain.metrics.settings import MeasureSettings
from protoexplain.metrics.stats.prototype_sparsity import UniquePrototypes
from protoexplain.models.contract import Ownership

SIZE, MAP = 64, (4, 4)
PART_NAMES = ("beak", "left eye", "right eye", "tail", "crown")


def description(classes=4, per_class=3, shared=False, seed=0, assigned_per_class=3):
    """Two branches; prototypes of their own class, or shared by all."""
    generator = torch.Generator().manual_seed(seed)
    count = classes * per_class
    ownership = Ownership.of_all(count, classes) if shared else Ownership.class_major(per_class, classes)
    weights = torch.rand(classes, count, generator=generator) - 0.3
    branch = (torch.arange(count) % per_class > 0).long()
    assigned = assign(ownership, weights, assigned_per_class)
    names = tuple(f"class {label}" for label in range(classes))
    sizes = torch.tensor(MAP).expand(count, 2)
    return ModelDescription(
        names,
        ownership,
        assigned,
        branch,
        weights,
        weights.clamp_min(0),
        sizes,
        SIZE,
        assigned_per_class,
        (UniquePrototypes(count // 2, count, 16),) * 2,
    )


def patches_of(one, generator):
    """Training patches of prototypes in two images with boxes; some have the same, one has none."""
    images = [ImageRecord(f"{i}.jpg", Path(f"{i}.jpg"), 0, "train", Box(20, 10, 60, 30)) for i in range(2)]
    cells = torch.randint(3, (one.num_prototypes, 2), generator=generator).tolist()
    records = [
        PrototypeRecord(
            number, str(int(one.branch[number])), int(one.ownership.labels[number]), number,
            image_id=f"{number % 2}.jpg", row=row, column=column, map_height=MAP[0], map_width=MAP[1],
            source_size=(80, 40),
        )
        for number, (row, column) in enumerate(cells)
    ]  # fmt: skip
    *others, last = records
    bare = PrototypeRecord(last.index, last.branch, last.label, last.index)
    return TrainingPatches((*others, bare), images, "full")


def cells_of(labels, generator):
    """Vectors of three maps that know a little of the label; some images have none."""
    columns = {"label": labels}
    for name in ("latent", "features", "frozen"):
        columns[name] = torch.randn(len(labels), 2, 6, generator=generator)
        columns[name][..., 0] += labels[:, None]
        columns[f"{name} found"] = torch.rand(len(labels), 2, generator=generator) < 0.8
    return columns


def attacked(images, count, classes, generator):
    """What an attack outside boxes and noise of the same size change."""

    def real(*shape):
        return torch.rand((images, *shape), generator=generator)

    before = real(count)
    return {
        f"attack/{kind}": {
            "target": before.argmax(1),
            "before": before,
            "after": real(count),
            "logits": 6 * real(classes),
            "displacement": 100 * real().double(),
            "free": real().double(),
        }
        for kind in ("pgd", "uniform")
    }


def without_parts(images, generator):
    """Scores without three parts and four objects, and what two rules and the baselines say of them."""

    def real(*shape):
        return torch.rand((images, *shape), generator=generator)

    there = real(7) < 0.8
    there[:, :3] = True
    columns = {
        "without": {
            "without": real(7).double(),
            "there": there,
            "contrasts": real(2, 3).double(),
            "contrast_known": real() < 2,
        }
    }
    for rule in ("maps", "boxes", *BASELINES):
        columns[f"parts/{rule}"] = {
            "importance": real(7).double(),
            "named": (real(80, 7) < 0.5) & there[:, None],
            "between": real(2, 3).double(),
            "shared": real(2, 3) < 0.5,
            "preserved": (4 * real(80)).long() - 1,
            "deleted": (4 * real(80)).long() - 1,
        }
    return columns


def observe(labels, shared=False, seed=0, classes=4, **settings):
    """What would have been seen of a model that computes random numbers.

    Args:
        labels: Of the test images.
        shared: Whether all classes share the prototypes.
        seed: Of the numbers.
        classes: Number of classes.
        settings: Of the measurement.
    """
    generator = torch.Generator().manual_seed(seed)
    one = description(classes, shared=shared, seed=seed)
    labels = torch.tensor(labels)
    images, (slots, count) = len(labels), (one.assigned.shape[1], one.num_prototypes)

    def whole(high, *shape):
        return torch.randint(high, (images, *shape), generator=generator)

    def real(*shape):
        return torch.rand((images, *shape), generator=generator)

    peaks = whole(SIZE, slots, 2)
    near = [(peaks + whole(21, slots, 2) - 10).clamp(0, SIZE - 1) for _ in range(3)]
    rngs = [np.random.default_rng([seed, image]) for image in range(images)]
    warps = {view: torch.from_numpy(np.stack([make(SIZE, rng) for rng in rngs])) for view, make in VIEWS.items()}
    logits = 6 * real(classes) - 2
    columns = {
        "scores": {"logits": logits, "probabilities": logits.softmax(1), "activations": real(count)},
        "unprojected": {"logits": real(classes)},
        "patches": {"cells": whole(MAP[0] * MAP[1], count).int()},
        "peaks": {"peaks": peaks.short()},
        **{f"noisy/{draw}": {"peaks": noisy.short()} for draw, noisy in enumerate(near)},
        **{
            f"pixel noise/{draw}": {"peaks": noisy.short(), "logits": logits + real(classes)}
            for draw, noisy in enumerate(near)
        },
        "lead": {"lead": real(), "contributions": real(count) - 0.3},
        **{f"views/{view}": {"peaks": whole(SIZE, slots, 2).short(), "warp": warp} for view, warp in warps.items()},
        "localisation": {
            "content": real(3),
            "ratio": 2 * real(3),
            "iou": real(3, len(LEVELS)),
            "on_object": real(slots, 3) < 0.5,
            "region": (real() < 0.1).to(torch.int8) * int(Region.EMPTY),
        },
        **{f"{way}/{order}": {"scores": real(9)} for way in ("deletion", "insertion") for order in ("heat", "random")},
    }
    pixels = whole(SIZE + 9, len(PART_NAMES), 2) - 4
    crops = torch.tensor([[10.0, 20.0, 110.0, 100.0]], dtype=torch.float64).expand(images, 4)
    source = crops[:, None, :2] + (pixels + 0.5) * (crops[:, None, 2:] - crops[:, None, :2]) / SIZE
    parts = Parts(PART_NAMES, pixels, real(len(PART_NAMES)) < 0.8, source, crops, SIZE, 1 + real(2).double())
    more = torch.Generator().manual_seed(seed + 1)
    columns["cells"] = cells_of(labels, more)
    columns["certificate"] = {"radius": torch.rand(images, generator=torch.Generator().manual_seed(seed)) - 0.2}
    columns["relevance"] = {
        **{name: torch.rand(images, generator=more).double() for name in ("energy", "mask", "object")},
        "region": columns["localisation"]["region"],
    }
    columns["all_peaks"] = {
        **{name: torch.randint(SIZE, (images, count, 2), generator=more).short() for name in ("all", "noisy")},
        "noisy_activations": torch.rand(images, count, generator=more),
    }
    columns["part_cover"] = {
        name: torch.rand(images, generator=more).double() for name in ("overlap", "random", "covered", "object")
    }
    columns["box_noise"] = {name: torch.rand(images, 5, generator=more).double() for name in (*MEASURES, "random")}
    columns |= attacked(images, count, classes, torch.Generator().manual_seed(seed + 3))
    columns |= without_parts(images, torch.Generator().manual_seed(seed + 2))
    names = ("own", "random patches", "random numbers")
    columns["swapped"] = {"label": labels, **{name: real(count) for name in names}}
    swapped = {name: torch.rand(classes * 8, count, generator=more) for name in names}
    training = {
        "cells": cells_of(torch.arange(classes).repeat(8), more),
        "swapped": {"label": torch.arange(classes).repeat(8), **swapped},
    }
    foreign = {"scores": {"logits": 6 * torch.rand(11, classes, generator=generator) - 2}}
    ids = tuple(f"{image:03}.jpg" for image in range(images))
    chosen = MeasureSettings(**{"resamples": 200, "half_window": 12, **settings})
    patches = patches_of(one, more)
    class_parts = ClassParts(
        ("beak", "tail", "wing"), tuple((label % 2, label // 2, label % 3) for label in range(classes))
    )
    return Observations(one, ids, labels, columns, chosen, "made up", parts, foreign, training, patches, class_parts)


def permuted_images(observed, order):
    """The same with the images in another order."""
    columns = {
        name: {column: table[order] for column, table in entry.items()} for name, entry in observed.columns.items()
    }
    parts = observed.parts
    fields = {name: getattr(parts, name)[order] for name in ("pixels", "visible", "source", "crops", "stretch")}
    ids = tuple(observed.ids[index] for index in order.tolist())
    return replace(observed, ids=ids, labels=observed.labels[order], columns=columns, parts=replace(parts, **fields))


def permuted_prototypes(observed, order):
    """The same with the prototypes numbered anew: number p is now what was order[p]."""
    one = observed.description
    number = torch.empty_like(order)
    number[order] = torch.arange(len(order))
    moved = torch.where(one.assigned >= 0, number[one.assigned.clamp_min(0)], len(order))
    assigned, slots = moved.sort(1)
    assigned[assigned == len(order)] = -1
    image_slots = slots[observed.labels]

    def slotted(table):
        index = image_slots.view(*image_slots.shape, *[1] * (table.dim() - 2)).expand_as(table)
        return table.gather(1, index)

    columns = {name: dict(entry) for name, entry in observed.columns.items()}
    for name, entry in columns.items():
        for column in entry.keys() & {"peaks", "on_object"}:
            columns[name][column] = slotted(entry[column])
        for column in entry.keys() & {
            "activations",
            "cells",
            "contributions",
            "before",
            "after",
            "all",
            "noisy",
            "noisy_activations",
        }:
            columns[name][column] = entry[column][:, order]
        if "target" in entry:
            columns[name]["target"] = number[entry["target"]]
    columns["swapped"] = {n: t if n == "label" else t[:, order] for n, t in columns["swapped"].items()}
    training = dict(observed.training)
    training["swapped"] = {n: t if n == "label" else t[:, order] for n, t in training["swapped"].items()}
    subject_ = replace(
        one,
        ownership=Ownership(one.ownership.owned[order]),
        assigned=assigned,
        branch=one.branch[order],
        class_weights=one.class_weights[:, order],
        presence_weights=one.presence_weights[:, order],
        map_sizes=one.map_sizes[order],
    )
    records = [replace(observed.patches.records[old], index=new) for new, old in enumerate(order.tolist())]
    return replace(
        observed,
        description=subject_,
        columns=columns,
        training=training,
        patches=replace(observed.patches, records=records),
    )


def score_of(metric, observed, **settings):
    return metric.compute(observed, metric.settings(**settings))
