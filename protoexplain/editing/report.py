"""What an edit changes: accuracy, predictions, sizes, and what is wrong with the prototypes, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from protoexplain.checkpoint.prototypes import PrototypeRecord, select
from protoexplain.editing.carry_out import Edited
from protoexplain.editing.preview import TEST, TRAIN, VALIDATION, EditPreview
from protoexplain.metrics.stats.explanation_sizes import EvidenceSettings, used
from protoexplain.metrics.stats.wilson import wilson
from protoexplain.training.diagnose import Finding, diagnose
from protoexplain.training.prune import nearest_of

NEARLY_ZERO: float = EvidenceSettings().epsilon
"""Class weights of at most this size count as zero, as in the metrics of sparsity."""

KINDS = {
    "background": "prototypes off the object",
    "repeated": "prototypes that share their patch",
    "other classes": "prototypes that fire for other classes",
    "silent": "prototypes that are never found",
    "classes without prototypes": "classes without prototypes",
    "unprojected": "prototypes without a training image",
}
"""Kinds of findings in words, the gravest first."""


@dataclass(frozen=True)
class Share:
    """Right predictions of `total`; low and high: of the 95 % interval of their share (Wilson 1927)."""

    hits: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        return self.hits / self.total if self.total else None


@dataclass(frozen=True)
class Sizes:
    """A model at a moment.

    Args:
        test: Of the test pictures.
        validation: Of those held out.
        prototypes: Their number.
        used: Those with a weight above `NEARLY_ZERO` for some class.
        sparsity: Share of class weights that are nearly zero.
        findings: Kind -> prototypes concerned, None where the data do not allow an answer.
    """

    test: Share
    validation: Share
    prototypes: int
    used: int
    sparsity: float
    findings: dict[str, int | None]


@dataclass(frozen=True)
class PredictionChange:
    """A test picture that is named otherwise: record, true label, label before and after."""

    image: str
    truth: int
    before: int
    after: int

    @property
    def gained(self) -> bool:
        return self.after == self.truth

    @property
    def lost(self) -> bool:
        return self.before == self.truth


@dataclass(frozen=True)
class EditReport:
    """Before and after.

    Args:
        before: The parent.
        after: The edited model.
        changed: Test pictures that are named otherwise.
        concerned: Kind of finding -> numbers, in the parent, of the prototypes concerned after the edit.
        epochs: Of the refit.
    """

    before: Sizes
    after: Sizes
    changed: tuple[PredictionChange, ...]
    concerned: dict[str, tuple[int, ...]]
    epochs: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> list[tuple[str, str, str]]:
        """What is counted, before, after; for people."""
        old, new = self.before, self.after
        rows = [
            ("test accuracy", _in_words(old.test), _in_words(new.test)),
            ("accuracy on held-out images", _in_words(old.validation), _in_words(new.validation)),
            ("prototypes", str(old.prototypes), str(new.prototypes)),
            ("used prototypes", str(old.used), str(new.used)),
            ("class weights that are nearly zero", f"{old.sparsity:.1%}", f"{new.sparsity:.1%}"),
        ]
        kinds = [kind for kind in KINDS if kind in old.findings]
        return [*rows, *((KINDS[kind], _count(old.findings[kind]), _count(new.findings.get(kind))) for kind in kinds)]

    def as_text(self) -> str:
        """A table, and how many predictions changed."""
        lines = [
            f"{name:<38} {before:>28} {after:>28}" for name, before, after in [("", "before", "after"), *self.rows()]
        ]
        gained, lost = (sum(getattr(change, kind) for change in self.changed) for kind in ("gained", "lost"))
        lines.append(
            f"{len(self.changed)} test images are named otherwise: {gained} now rightly, {lost} now wrongly; "
            f"{self.epochs} epochs of the refit"
        )
        return "\n".join(lines)


def _in_words(share: Share) -> str:
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})" if share.value is not None else "no images"


def _count(value: int | None) -> str:
    return "unknown" if value is None else str(value)


def report(preview: EditPreview, parent: Edited, edited: Edited, epochs: int) -> EditReport:
    """Compare an edited model with its parent."""
    findings = findings_of(preview, edited, records_of(preview, edited))
    before = sizes(preview, parent, findings_of(preview, parent, preview.checkpoint.prototypes))
    labels = preview.features[TEST].labels.tolist()
    predicted = [guesses(model, TEST) for model in (parent, edited)]
    changed = tuple(
        PredictionChange(image.id, truth, one, two)
        for image, truth, one, two in zip(preview.features[TEST].images, labels, *predicted, strict=True)
        if one != two
    )
    concerned = {finding.kind: tuple(edited.remaining[i] for i in finding.prototypes) for finding in findings}
    return EditReport(before, sizes(preview, edited, findings), changed, concerned, epochs)


def guesses(edited: Edited, split: str) -> list[int]:
    """The best class of each picture."""
    if not len(edited.similarity[split]):
        return []
    return [int(label) for label in edited.scores(split).argmax(1)]


def sizes(preview: EditPreview, edited: Edited, findings: Sequence[Finding]) -> Sizes:
    """The model at this moment."""
    weights = edited.model.class_weights().detach()
    return Sizes(
        test=_share(preview, edited, TEST),
        validation=_share(preview, edited, VALIDATION),
        prototypes=len(edited.remaining),
        used=int(used(edited.model.presence_weights(), NEARLY_ZERO).sum()),
        sparsity=float((weights.abs() <= NEARLY_ZERO).double().mean()),
        findings={f.kind: len(f.prototypes or f.classes) if f.judged else None for f in findings},
    )


def findings_of(preview: EditPreview, edited: Edited, records: Sequence[PrototypeRecord]) -> tuple[Finding, ...]:
    """What is wrong with the prototypes of an edited model, described by `records`."""
    nearest = None
    if not edited.model.ownership.all_shared:
        nearest = nearest_of(edited.similarity[TRAIN], preview.features[TRAIN].labels)
    return diagnose(edited.model, records, preview.data.train, preview.data.crop, nearest)


def records_of(preview: EditPreview, edited: Edited) -> tuple[PrototypeRecord, ...]:
    """The records of an edited model with their places; pictures and boxes are still those of the parent."""
    images = preview.features[TRAIN].images
    known = {r.image_id: r.source_size for r in preview.checkpoint.prototypes}
    records = list(preview.checkpoint.prototypes)
    for prototype, patch in edited.reprojected.items():
        height, width = patch.map.shape
        records[prototype] = replace(
            records[prototype],
            image_id=images[patch.place].id,
            row=patch.row,
            column=patch.column,
            map_height=height,
            map_width=width,
            similarity=patch.similarity,
            source_size=known.get(patch.image) or preview.source_size(patch.place),
        )
    return select(records, edited.remaining)


def _share(preview: EditPreview, edited: Edited, split: str) -> Share:
    labels = preview.features[split].labels.tolist()
    hits = sum(one == two for one, two in zip(guesses(edited, split), labels, strict=True))
    return Share(hits, len(labels), *wilson(hits, len(labels)))
