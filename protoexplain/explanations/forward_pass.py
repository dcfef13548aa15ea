"""The result of one forward pass over one picture; all explanations of the picture start here.

P prototypes, C classes.  All numbers are on the CPU.  Evidence is computed in float64, so that its sums can be checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from protoexplain.checkpoint.prototypes import PrototypeRecord
from protoexplain.data.geometry import Geometry
from protoexplain.errors import UserError
from protoexplain.models.base import PrototypeModel
from protoexplain.models.contract import EvidenceKind, Route
from protoexplain.models.heads import Evidence
from protoexplain.models.precision import exact


@dataclass(frozen=True)
class Prediction:
    """One class, its score as evidence adds up to it, and its probability in [0, 1]."""

    label: int
    name: str
    score: float
    probability: float


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """What one forward pass of a model over one picture gave; every explanation of the picture is computed from it.

    Args:
        model: In eval mode; read only.
        picture: [3,S,S] in [0, 1], on the model's device.
        geometry: Where the picture lies in the given image.
        class_names: By label.
        records: Where the prototypes come from, by number; empty where unknown.
        maps: For each prototype its activation at each cell, [H,W]; maps of several branches may differ in size.
        activations: float64 [P], the maximum of each map.
        scores: [C] class scores as evidence adds up to them: as the model gives them (logits, for CBC probabilities),
            or relative to the average class, where evidence counts from what is usual.
        probabilities: [C] in [0, 1].
    """

    model: PrototypeModel
    picture: Tensor
    geometry: Geometry
    class_names: tuple[str, ...]
    records: Sequence[PrototypeRecord]
    maps: tuple[Tensor, ...]
    activations: Tensor
    scores: Tensor
    probabilities: Tensor

    @property
    def ranked(self) -> list[int]:
        """Labels by score, best first."""
        return self.scores.argsort(descending=True, stable=True).tolist()

    @property
    def unit(self) -> Literal["logit", "probability"]:
        """What scores and evidence are measured in."""
        return self.model.score_unit.name

    @property
    def evidence_kind(self) -> EvidenceKind:
        """How evidence is counted."""
        return self.model.evidence_kind

    @property
    def route(self) -> Route | None:
        """The way of the picture through a tree, if the model is one."""
        return self.model.route(self.activations)

    @property
    def abstains(self) -> bool:
        """Whether no class gets any evidence: the best score is exactly 0 (Nauta et al. 2023).

        Never where scores are relative to the average class, which says nothing about all of them.
        """
        return not self.evidence_kind.relative and float(self.scores.max()) == 0

    @property
    def familiar(self) -> bool | None:
        """Whether the picture resembles what the model has learned; None where held-out images told nothing.

        What counts is how far the best class stands out, which is the same for scores relative to the average class.
        """
        calibration = self.model.calibration
        return None if calibration is None else bool(calibration.is_familiar(self.scores[None])[0])

    def prediction(self, label: int) -> Prediction:
        return Prediction(label, self.class_names[label], float(self.scores[label]), float(self.probabilities[label]))

    @torch.no_grad()
    def evidence(self, labels: Sequence[int]) -> Evidence:
        """Evidence of all prototypes for some classes, without the dimension of the batch: [P,k] and [k]."""
        return _single(self.model.evidence(self.activations[None], self._chosen(labels)))

    @torch.no_grad()
    def disagreement(self, labels: Sequence[int]) -> Evidence | None:
        """What speaks against some classes by not being as they want it, [P,k]; None where the head knows no such."""
        parts = self.model.disagreement(self.activations[None], self._chosen(labels))
        return None if parts is None else _single(parts)

    @torch.no_grad()
    def with_activations(self, activations: Tensor) -> ForwardPass:
        """The same picture with scores and probabilities computed anew from other activations [P]."""
        logits = self.model.from_activations(activations[None].to(self.model.class_weights())).logits
        scores, probabilities = self.model.evidence_scores(logits)[0].cpu(), self.model.probabilities(logits)[0].cpu()
        return replace(self, activations=activations, scores=scores, probabilities=probabilities)

    def require_labels(self, labels: Sequence[int]) -> None:
        """Refuse labels that the model does not have.

        Raises:
            UserError: Names the first one.
        """
        for label in labels:
            if not 0 <= label < len(self.class_names):
                highest = len(self.class_names) - 1
                raise UserError(f"there is no class number {label}", "", f"choose a number from 0 to {highest}")

    def _chosen(self, labels: Sequence[int]) -> Tensor:
        return torch.tensor(list(labels), dtype=torch.long)


def run_forward(
    model: PrototypeModel,
    picture: Tensor,
    geometry: Geometry,
    class_names: Sequence[str],
    records: Sequence[PrototypeRecord] = (),
) -> ForwardPass:
    """Run a model on one picture [3,S,S] in [0, 1]."""
    (forward_pass,) = run_forward_batch(model, picture[None], [geometry], class_names, records)
    return forward_pass


@torch.no_grad()
def run_forward_batch(
    model: PrototypeModel,
    pictures: Tensor,
    geometries: Sequence[Geometry],
    class_names: Sequence[str],
    records: Sequence[PrototypeRecord] = (),
) -> list[ForwardPass]:
    """Run a model once on pictures [B,3,S,S] in [0, 1]; each forward pass holds tensors of its own."""
    pictures = pictures.to(next(model.parameters()).device)
    features = model.backbone(pictures)
    output = model.from_features(features)
    branches = [maps.cpu() for maps in model.activation_maps(features)]
    activations = exact(output.activations)
    scores, probabilities = model.evidence_scores(output.logits).cpu(), model.probabilities(output.logits).cpu()
    return [
        ForwardPass(
            model,
            pictures[b].clone(),
            geometry,
            tuple(class_names),
            tuple(records),
            tuple(each for maps in branches for each in maps[b].clone()),
            activations[b].clone(),
            scores[b].clone(),
            probabilities[b].clone(),
        )
        for b, geometry in enumerate(geometries)
    ]


def _single(evidence: Evidence) -> Evidence:
    return Evidence(evidence.presence[0], evidence.absence[0], evidence.bias)
