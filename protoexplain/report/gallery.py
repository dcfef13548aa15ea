"""The gallery of prototypes, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from torch import Tensor

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.explanations.explainer import Explainer
from protoexplain.progress import Progress
from protoexplain.report.prototype_pictures import InlinePrototypePictures
from protoexplain.report.sections import Gallery, PrototypeCard, PrototypeGroup, Weight

MOST = 400
"""Prototypes in one report: it has to fit into a mail."""
STRONGEST = 3
SEVERAL = "Shared by several classes"


def gallery(
    explainer: Explainer,
    pictures: InlinePrototypePictures,
    words: Sequence[tuple[str, ...]],
    first: Sequence[int] = (),
    progress: Progress | None = None,
    most: int = MOST,
) -> Gallery:
    """Describe the prototypes.

    Args:
        explainer: The model.
        pictures: Of its prototypes.
        words: By prototype, sentences about it.
        first: Prototypes that must be there, such as those of the explained pictures.
        progress: Told (done, total) in prototypes.
        most: Of more, those of all classes in turn are shown.

    Raises:
        UserError: A picture cannot be read.
    """
    checkpoint = explainer.checkpoint
    records = _chosen(checkpoint.prototypes, first, most)
    weights = explainer.model.class_weights().detach().cpu()
    cards: dict[str, list[PrototypeCard]] = {}
    for done, record in enumerate(records, 1):
        cards.setdefault(_heading(checkpoint, record), []).append(
            _card(checkpoint, pictures, record, weights, words[record.index])
        )
        if progress:
            progress(done, len(records))
    groups = tuple(
        PrototypeGroup(name, tuple(cards[name])) for name in ("", SEVERAL, *checkpoint.classes) if name in cards
    )
    return Gallery(len(checkpoint.prototypes), len(records), checkpoint.findings, groups)


def _heading(checkpoint: Checkpoint, record: PrototypeRecord) -> str:
    if record.owners is None:
        return ""
    return SEVERAL if record.classes else checkpoint.classes[record.label]


def _chosen(records: Sequence[PrototypeRecord], first: Sequence[int], most: int) -> list[PrototypeRecord]:
    """The first ones, then one of each class in turn; in the order of the model."""
    groups: dict[int, list[int]] = {}
    for record in records:
        groups.setdefault(record.label, []).append(record.index)
    in_turn = [index for turn in zip_longest(*groups.values()) for index in turn if index is not None]
    chosen = list(dict.fromkeys([*first, *in_turn]))[:most]
    return [records[index] for index in sorted(chosen)]


def _card(
    checkpoint: Checkpoint,
    pictures: InlinePrototypePictures,
    record: PrototypeRecord,
    weights: Tensor,
    words: tuple[str, ...],
) -> PrototypeCard:
    column = weights[:, record.index]
    labels = column.argsort(descending=True)[:STRONGEST].tolist() if record.label < 0 else [record.label]
    return PrototypeCard(
        index=record.index,
        owner=checkpoint.owner_name(record.index),
        image=record.image_id,
        patch=pictures.patch(record.index),
        source=pictures.source(record.index),
        weights=tuple(Weight(checkpoint.classes[label], float(column[label])) for label in labels),
        words=words,
    )
