"""Why a model said what it said about one image, as plain data that can be added up again.

`explain_forward_pass` gives, for each shown class, the prototypes that speak for and against it.  For every class the
evidence of the shown rows, plus what all other prototypes add, plus the bias, equals the class score;
`Explanation.check` does the sum.  Where evidence counts from what is usual, the score is given relative to the average
class, which changes no probability.  Heads that reason by presence and absence (CBC) also tell what a class loses:
score and loss add to one.  Of trees the explanation also tells the way that the picture takes (`Route`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from protoexplain.data.geometry import Geometry
from protoexplain.explanations.characteristics.match_characteristics import MatchCharacteristics
from protoexplain.explanations.evidence.match import Match, Statement, matches, statements
from protoexplain.explanations.forward_pass import ForwardPass, Prediction
from protoexplain.models.contract import EvidenceKind, Route
from protoexplain.models.heads import Evidence
from protoexplain.regions.box_rules import DEFAULT, BoxRule
from protoexplain.regions.boxes import upsample

SCHEMA_VERSION = 6
ABSTAINED = "the model finds nothing here that it knows and does not decide: no class gets any evidence"
UNFAMILIAR = (
    "this picture resembles nothing that the model has learned: its best class stands out less than in 95 % of the"
    " pictures that were held out of the training, so the answer may mean nothing; one in twenty pictures of the"
    " learned kinds is told this, too"
)
AnyStatement = TypeVar("AnyStatement", bound=Statement)


@dataclass(frozen=True)
class ClassExplanation:
    """Evidence for one class.

    Args:
        label: Class index.
        name: Class name.
        score: Class score: a logit, relative to the mean over the classes where evidence is ``shapley``; for CBC and
            trees a probability.
        probability: In [0, 1].
        found: Prototypes by the size of what their presence adds, largest first.
        missing: Prototypes by the size of what their absence adds, largest first; empty for heads that do not reason by
            absence.
        unwanted: Prototypes that were found though the class wants to miss them, costliest first; empty as above.
        lacking: Prototypes that are missing though the class wants to find them, costliest first; empty as above.
        remainder: What all prototypes add beside the numbers shown in `found` and `missing`.
        bias: What no prototype is responsible for; where evidence is ``shapley``, the score of an average image, and
            where it is ``route``, what is expected at the root.
        disagreement_remainder: What is lost beside the numbers shown in `unwanted` and `lacking`; None for heads
            without disagreement.
    """

    label: int
    name: str
    score: float
    probability: float
    found: tuple[Match, ...]
    missing: tuple[Statement, ...]
    unwanted: tuple[Match, ...]
    lacking: tuple[Statement, ...]
    remainder: float
    bias: float
    disagreement_remainder: float | None

    def total(self) -> float:
        """The class score again, from the parts."""
        shown = sum(match.presence for match in self.found) + sum(match.absence for match in self.missing)
        return shown + self.remainder + self.bias

    def disagreement(self) -> float | None:
        """What the class lost, from the parts: one minus its score.  None for heads without disagreement."""
        if self.disagreement_remainder is None:
            return None
        unwanted = sum(match.unwanted or 0.0 for match in self.unwanted)
        return unwanted + sum(match.lacking or 0.0 for match in self.lacking) + self.disagreement_remainder

    def error(self) -> float:
        """How far the parts are from adding up: to the score, and with the disagreement to one.

        Scores above one count by their size: a model gives them in float32, to about seven digits.
        """
        lost = self.disagreement()
        off = abs(self.total() - self.score) / max(1.0, abs(self.score))
        return off if lost is None else max(off, abs(self.total() + lost - 1))


@dataclass(frozen=True)
class Explanation:
    """Everything that is shown about one image; no tensors, no pictures.

    Args:
        image: Name of the image.
        geometry: Which part of it the model saw.
        predictions: Classes by score, best first.
        classes: The explained classes.
        unit: What scores and evidence are measured in.
        evidence: How evidence is counted: ``shapley`` is (activation - usual activation) x (weight - mean weight over
            the classes), ``product`` is activation x weight, ``reasoning`` is by presence and absence, ``route`` is how
            much the decisions of a tree change what is expected.
        route: The way of the image through a tree, if the model is one.
        box_rule: How boxes were drawn, such as ``peak:95``.
        familiar: Whether the image resembles what the model has learned; None where held-out images told nothing.
        notices: What was done to the image when it was read, and whether the model abstains or knows nothing like it.
        maps: Prototype -> activation map [H,W]; not part of the JSON.

    Example:
        >>> import protoexplain as px
        >>> explanation = px.explain("checkpoints/planted-protopnet", "bird.jpg", device="cpu").explanation
        >>> isinstance(explanation, px.Explanation)
        True
        >>> shown = explanation.classes[0]
        >>> abs(shown.total() - shown.score) < 1e-4
        True
        >>> explanation.unit, explanation.evidence.value
        ('logit', 'shapley')
    """

    image: str
    geometry: Geometry
    predictions: tuple[Prediction, ...]
    classes: tuple[ClassExplanation, ...]
    unit: Literal["logit", "probability"]
    evidence: EvidenceKind
    route: Route | None = None
    box_rule: str = str(DEFAULT)
    familiar: bool | None = None
    notices: tuple[str, ...] = ()
    maps: dict[int, NDArray[np.float32]] = field(default_factory=dict, repr=False, compare=False)

    def check(self) -> float:
        """Largest `ClassExplanation.error`: zero where all parts add up, but for the rounding of the model."""
        return max((shown.error() for shown in self.classes), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the definition ``Explanation`` in report.schema.json describes it."""
        content = asdict(replace(self, maps={}))
        del content["maps"]
        return {"schema": SCHEMA_VERSION, **content, "additive_error": self.check()}

    def heat(self, prototype: int, width: int, height: int) -> NDArray[np.float32]:
        """The map of a prototype over the seen region, upsampled to [height, width]."""
        return upsample(torch.from_numpy(self.maps[prototype]), height, width).numpy()

    def with_characteristics(self, measured: Mapping[int, MatchCharacteristics]) -> Explanation:
        """The same with the characteristics of the measured prototypes, wherever they are shown."""

        def described(shown: tuple[AnyStatement, ...]) -> tuple[AnyStatement, ...]:
            return tuple(replace(m, characteristics=measured.get(m.prototype, m.characteristics)) for m in shown)

        classes = tuple(
            replace(
                c,
                found=described(c.found),
                missing=described(c.missing),
                unwanted=described(c.unwanted),
                lacking=described(c.lacking),
            )
            for c in self.classes
        )
        return replace(self, classes=classes)


def explain_forward_pass(
    forward_pass: ForwardPass,
    *,
    image: str = "",
    labels: Sequence[int] | None = None,
    top_classes: int = 3,
    rows: int = 10,
    notices: Sequence[str] = (),
    box_rule: BoxRule = DEFAULT,
) -> Explanation:
    """Explain the classes of one picture.

    Args:
        forward_pass: The picture, from `run_forward`.
        image: Name of the picture.
        labels: Classes to explain; the `top_classes` best ones by default.
        top_classes: How many, where `labels` is None.
        rows: Prototypes per list.
        notices: Passed on.
        box_rule: How boxes are drawn.

    Raises:
        UserError: No class of such a label.
    """
    ranked = forward_pass.ranked
    shown = list(labels) if labels is not None else ranked[:top_classes]
    forward_pass.require_labels(shown)
    evidence, disagreement = forward_pass.evidence(shown), forward_pass.disagreement(shown)
    agreed = [_strongest(evidence, k, rows) for k in range(len(shown))]
    lost = [([], []) if disagreement is None else _strongest(disagreement, k, rows) for k in range(len(shown))]
    wanted = sorted({p for found, _ in (*agreed, *lost) for p in found})
    present = matches(forward_pass, shown, wanted, box_rule)
    absent = statements(forward_pass, shown, sorted({p for _, missing in (*agreed, *lost) for p in missing}))
    predictions = {entry.label: entry for entry in map(forward_pass.prediction, ranked)}
    classes = tuple(
        ClassExplanation(
            **vars(predictions[label]),
            found=tuple(present[k][p] for p in agreed[k][0]),
            missing=tuple(absent[k][p] for p in agreed[k][1]),
            unwanted=tuple(present[k][p] for p in lost[k][0]),
            lacking=tuple(absent[k][p] for p in lost[k][1]),
            remainder=_rest(evidence, k, agreed[k]),
            bias=float(evidence.bias[k]),
            disagreement_remainder=None if disagreement is None else _rest(disagreement, k, lost[k]),
        )
        for k, label in enumerate(shown)
    )
    remarks = [ABSTAINED] if forward_pass.abstains else [UNFAMILIAR] if forward_pass.familiar is False else []
    return Explanation(
        image,
        forward_pass.geometry,
        tuple(predictions.values()),
        classes,
        forward_pass.unit,
        forward_pass.evidence_kind,
        forward_pass.route,
        str(box_rule),
        forward_pass.familiar,
        (*notices, *remarks),
        {prototype: forward_pass.maps[prototype].float().cpu().numpy() for prototype in wanted},
    )


def _strongest(evidence: Evidence, k: int, rows: int) -> tuple[list[int], list[int]]:
    """Prototypes with the largest effect by presence, and by absence, of either sign."""
    presence, absence = evidence.presence[:, k], evidence.absence[:, k]
    found = presence.abs().argsort(descending=True, stable=True)[:rows].tolist()
    missing = absence.abs().argsort(descending=True, stable=True)[:rows].tolist() if bool((absence != 0).any()) else []
    return found, missing


def _rest(evidence: Evidence, k: int, shown: tuple[list[int], list[int]]) -> float:
    """What is not shown."""
    presence, absence = evidence.presence[:, k].clone(), evidence.absence[:, k].clone()
    presence[shown[0]] = 0
    absence[shown[1]] = 0
    return float((presence + absence).sum())
