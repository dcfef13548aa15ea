"""The gallery of prototypes, class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from torch import Tensor

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.geometry import Box
from protoexplain.errors import UserError
from protoexplain.explain.explainer import Explainer
from protoexplain.io.images import load_image
from protoexplain.progress import Progress
from protoexplain.report.pictures import Picture, drawn, region_of, stored
from protoexplain.report.report import Gallery, PrototypeCard, Shelf, Weight

MOST = 400
"""Prototypes in one report: it has to fit into a mail."""
SOURCE_SIDE, STRONGEST = 224, 3


@dataclass(frozen=True)
class PrototypePictures:
    """The pictures of prototypes.

    Args:
        checkpoint: That holds them.
        images: Id of a training image -> its file; whole images are then shown, else what the network saw of them.
    """

    checkpoint: Checkpoint
    images: Mapping[str, Path]

    def patch(self, index: int) -> Picture | None:
        """The part that stands for a prototype; None where there is none."""
        content = self.checkpoint.picture(index, "patch")
        return None if content is None else stored(content, f"Prototype {index}")

    def source(self, index: int) -> Picture | None:
        """The training picture with the part's box; None where there is none."""
        record = self.checkpoint.prototypes[index]
        alt = f"Training picture {record.image_id}, the part marked by a box"
        whole = self._whole(record, alt)
        if whole is not None:
            return whole
        content = self.checkpoint.picture(index, "source")
        if content is None:
            return None
        found = stored(content, alt)
        frame = Box(0, 0, found.width, found.height)
        return found.marked(alt, *([region_of(record.input_box, frame)] if record.input_box else []))

    def _whole(self, record: PrototypeRecord, alt: str) -> Picture | None:
        """From the data set; None where it does not hold the picture that the checkpoint knows."""
        path = self.images.get(record.image_id or "")
        if path is None or record.box is None or record.source_size is None:
            return None
        try:
            loaded = load_image(path)
        except UserError:
            return None
        if loaded.size != tuple(record.source_size):
            return None
        return drawn(loaded.rgb, SOURCE_SIDE, alt, region_of(record.box, Box(0, 0, *loaded.size)))


def gallery(
    explainer: Explainer,
    pictures: PrototypePictures,
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
    cards: dict[int, list[PrototypeCard]] = {}
    for done, record in enumerate(records, 1):
        cards.setdefault(record.label, []).append(_card(checkpoint, pictures, record, weights, words[record.index]))
        if progress:
            progress(done, len(records))
    shelves = (Shelf(checkpoint.classes[label] if label >= 0 else "", tuple(cards[label])) for label in sorted(cards))
    return Gallery(len(checkpoint.prototypes), len(records), checkpoint.findings, tuple(shelves))


def _chosen(records: Sequence[PrototypeRecord], first: Sequence[int], most: int) -> list[PrototypeRecord]:
    """The first ones, then one of each class in turn; in the order of the model."""
    groups: dict[int, list[int]] = {}
    for record in records:
        groups.setdefault(record.label, []).append(record.index)
    in_turn = [index for turn in zip_longest(*groups.values()) for index in turn if index is not None]
    kept = list(dict.fromkeys([*first, *in_turn]))[:most]
    return [records[index] for index in sorted(kept)]


def _card(
    checkpoint: Checkpoint,
    pictures: PrototypePictures,
    record: PrototypeRecord,
    weights: Tensor,
    words: tuple[str, ...],
) -> PrototypeCard:
    column, shared = weights[:, record.index], record.owner is None
    labels = column.argsort(descending=True)[:STRONGEST].tolist() if shared else [record.label]
    return PrototypeCard(
        index=record.index,
        owner=None if shared else checkpoint.classes[record.label],
        image=record.image_id,
        patch=pictures.patch(record.index),
        source=pictures.source(record.index),
        weights=tuple(Weight(checkpoint.classes[label], float(column[label])) for label in labels),
        words=words,
    )
