"""What is wrong with the prototypes of a trained model, one finding per question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.checkpoint.prototypes import PrototypeRecord, shared_patches
from protoexplain.data.loading import Crop
from protoexplain.data.records import ImageRecord
from protoexplain.models.base import PrototypeModel
from protoexplain.models.contract import Detection
from protoexplain.regions.object_cells import cells_beside_object


@dataclass(frozen=True)
class Finding:
    """An answer.

    Args:
        kind: Name of the question.
        sentence: The answer for people.
        prototypes: Those concerned; empty where all is well.
        groups: Prototypes that share a patch.
        classes: Labels concerned.
        judged: False where the data do not allow an answer.
    """

    kind: str
    sentence: str
    prototypes: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    classes: tuple[int, ...] = ()
    judged: bool = True


def diagnose(
    model: PrototypeModel,
    prototypes: Sequence[PrototypeRecord],
    images: Sequence[ImageRecord],
    crop: Crop,
    nearest: Tensor | None = None,
) -> tuple[Finding, ...]:
    """Ask all questions that make sense for a model.

    Args:
        model: In eval mode.
        prototypes: Its records.
        images: The training images.
        crop: How they were cut.
        nearest: Labels [P,k] of the images nearest to each prototype (as of `Responses`), if known.
    """
    findings = [unprojected(prototypes), repeated(prototypes), on_background(prototypes, images, crop)]
    if model.detection.can_fail:
        quiet = silent(prototypes, model.detection)
        findings += [quiet, without_prototypes(model.class_weights(), quiet.prototypes)]
    if nearest is not None and any(record.owners is not None for record in prototypes):
        findings.append(for_other_classes(prototypes, nearest, images))
    return tuple(findings)


def unprojected(prototypes: Sequence[PrototypeRecord]) -> Finding:
    """Prototypes for which no training image qualified."""
    found = _indices(record for record in prototypes if record.image_id is None)
    return Finding("unprojected", f"{_of(found, prototypes)} have no training image of their class", found)


def repeated(prototypes: Sequence[PrototypeRecord]) -> Finding:
    """Prototypes of the same class and branch that lie on the same cell of the same image."""
    groups = shared_patches(prototypes)
    found = tuple(sorted(index for group in groups for index in group))
    sentence = f"{_of(found, prototypes)} share their patch with another one ({len(groups)} patches)"
    return Finding("repeated", sentence, found, groups)


def on_background(prototypes: Sequence[PrototypeRecord], images: Sequence[ImageRecord], crop: Crop) -> Finding:
    """Prototypes whose cell has its centre beside the object: outside its mask, or outside its box on whole images."""
    verdicts = cells_beside_object(prototypes, images, crop, lambda record: [(record.row, record.column)])
    if not verdicts:
        what = "whether prototypes lie on the background cannot be judged: the images have neither masks"
        return Finding("background", f"{what} nor boxes inside a larger picture", judged=False)
    found = tuple(sorted(index for index, (beside,) in verdicts.items() if beside))
    return Finding(
        "background", f"{len(found)} of {len(verdicts)} prototypes have the centre of their cell off the object", found
    )


def for_other_classes(prototypes: Sequence[PrototypeRecord], nearest: Tensor, images: Sequence[ImageRecord]) -> Finding:
    """Prototypes whose own classes have less than half of the nearest images that they could have."""
    counts = Counter(image.label for image in images)
    found = tuple(
        index
        for index, (record, labels) in enumerate(zip(prototypes, nearest.tolist(), strict=True))
        if (own := record.owners) is not None
        and 2 * sum(labels.count(label) for label in own) < min(sum(counts[label] for label in own), len(labels))
    )
    sentence = f"{_of(found, prototypes)} fire mostly for other classes among their {nearest.shape[1]} nearest images"
    return Finding("other classes", sentence, found)


def silent(prototypes: Sequence[PrototypeRecord], detection: Detection) -> Finding:
    """Prototypes that are found in no training image."""
    best = torch.tensor([-torch.inf if record.similarity is None else record.similarity for record in prototypes])
    found = _indices(record for record, there in zip(prototypes, detection.found(best), strict=True) if not there)
    return Finding("silent", f"{_of(found, prototypes)} never exceed {detection.level} on any training image", found)


def without_prototypes(class_weights: Tensor, silent_ones: Sequence[int]) -> Finding:
    """Classes none of whose heavy prototypes (above the mean absolute weight of the class [C,P]) is ever found."""
    weights = class_weights.detach().cpu()
    heavy = weights > weights.abs().mean(1, keepdim=True)
    heavy[:, list(silent_ones)] = False
    classes = tuple((~heavy.any(1)).nonzero()[:, 0].tolist())
    sentence = f"{len(classes)} of {len(weights)} classes rely on no prototype that is ever found"
    return Finding("classes without prototypes", sentence, classes=classes)


def _indices(records: Iterable[PrototypeRecord]) -> tuple[int, ...]:
    return tuple(record.index for record in records)


def _of(found: Sequence[int], prototypes: Sequence[PrototypeRecord]) -> str:
    return f"{len(found)} of {len(prototypes)} prototypes"
