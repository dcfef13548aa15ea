"""What would change the answer: the smallest set of prototypes without which the model predicts another class.

Without a prototype means: as if it were found as in an average picture, no more and no less; or, where evidence does
not count from what is usual, as if it had not been found at all, with an activation of zero.  All heads are affine in
the activations, so removals shrink the lead of the predicted class independently of each other, and for a fixed rival
the largest effects first are the smallest set; the smallest over all rivals is the smallest of all.  Forgetting a
prototype would be something else where the weights of a class have a fixed sum (CBC, RBF-net, EvalProtoPNet): the
others would then gain weight.  The answer is verified by computing the scores anew.

Trees are not affine: what a prototype does depends on the others.  There prototypes are left out one after the other,
each time that one without which the lead is smallest, and those are taken back that turn out not to be needed.  Another
set may be smaller.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.explanations.evidence.match import Match, matches
from protoexplain.explanations.forward_pass import ForwardPass, Prediction
from protoexplain.models.precision import exact
from protoexplain.regions.box_rules import DEFAULT, BoxRule

_ROUNDING = 1e-6
"""Of class scores; a lead that is smaller may be none."""


@dataclass(frozen=True)
class PrototypeRemoval:
    """A prototype that is left out.

    Args:
        match: What it says about the predicted class, and where.
        effect: By how much the lead of the predicted class over the rival shrinks; in a tree, without those before it.
    """

    match: Match
    effect: float


@dataclass(frozen=True)
class Counterfactual:
    """The smallest change of the evidence that turns the prediction.

    Args:
        predicted: The class that the model predicts.
        rival: The class that overtakes it, as it is now.
        removed: The prototypes to leave out, largest effect first.
        predicted_after: The predicted class without them.
        rival_after: The rival without them.
        outcome: The class that the model then predicts: the rival, unless a third class gains more.
        as_usual: Whether the removed prototypes are left as in an average picture; otherwise as if not found at all.
    """

    predicted: Prediction
    rival: Prediction
    removed: tuple[PrototypeRemoval, ...]
    predicted_after: Prediction
    rival_after: Prediction
    outcome: Prediction
    as_usual: bool

    @property
    def lead(self) -> float:
        """Of the predicted class over the rival, in the unit of the scores."""
        return self.predicted.score - self.rival.score

    @property
    def lead_after(self) -> float:
        """The same without the removed prototypes, by the scores that were computed anew; negative."""
        return self.predicted_after.score - self.rival_after.score

    def check(self) -> float:
        """How far lead and effects are from adding up to the new lead, by the size of scores above one."""
        largest = max(1.0, *(abs(p.score) for p in (self.predicted, self.rival, self.predicted_after)))
        return abs(self.lead - sum(removal.effect for removal in self.removed) - self.lead_after) / largest

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "lead": self.lead, "lead_after": self.lead_after, "additive_error": self.check()}


def what_would_change(
    forward_pass: ForwardPass, rival: int | None = None, box_rule: BoxRule = DEFAULT
) -> Counterfactual | None:
    """The fewest prototypes without which another class overtakes the predicted one; few, where the model is a tree.

    Args:
        forward_pass: The picture.
        rival: Label of the class that is to overtake; by default the one that needs the fewest removals.
        box_rule: How boxes are drawn.

    Returns:
        None where no removal of prototypes lets the rival, or any class, overtake.

    Raises:
        UserError: No such class, or the predicted one.
    """
    predicted = forward_pass.ranked[0]
    rivals = [label for label in range(len(forward_pass.class_names)) if label != predicted]
    if rival is not None:
        forward_pass.require_labels([rival])
        if rival == predicted:
            raise UserError(
                "this class is predicted already",
                forward_pass.class_names[rival],
                "name the class that is to overtake it",
            )
        rivals = [rival]
    if not forward_pass.model.affine:
        return _one_by_one(forward_pass, predicted, rivals, box_rule)
    effects, leads = _effects(forward_pass, predicted, rivals), _leads(forward_pass, predicted, rivals)
    ordered, order = effects.clamp_min(0).sort(dim=1, descending=True, stable=True)
    gained = ordered.cumsum(1)
    enough = gained > leads[:, None]
    possible = enough.any(1)
    if not bool(possible.any()):
        return None
    needed = torch.where(possible, enough.long().argmax(1), effects.shape[1])
    surplus = gained.gather(1, needed.clamp_max(effects.shape[1] - 1)[:, None])[:, 0] - leads
    fewest = (needed == needed.min()).nonzero()[:, 0]
    row = int(fewest[surplus[fewest].argmax()])
    for count in range(int(needed[row]) + 1, int((ordered[row] > 0).sum()) + 1):
        removed = order[row, :count].tolist()
        change = _without(forward_pass, predicted, rivals[row], removed, effects[row, removed].tolist(), box_rule)
        if change.lead_after < 0:
            return change
    return None


def _effects(forward_pass: ForwardPass, predicted: int, rivals: list[int]) -> Tensor:
    """[R,P]: what each prototype adds to the lead of the predicted class over each rival beyond not being found."""
    weights, baseline = (
        exact(forward_pass.model.class_weights().detach()),
        exact(forward_pass.model.baseline_activations()),
    )
    return (forward_pass.activations - baseline) * (weights[predicted] - weights[rivals])


def _leads(forward_pass: ForwardPass, predicted: int, rivals: list[int]) -> Tensor:
    """[R], in float64."""
    evidence = forward_pass.evidence([predicted, *rivals])
    scores = (evidence.presence + evidence.absence).sum(0) + evidence.bias
    return scores[0] - scores[1:]


@torch.no_grad()
def _one_by_one(
    forward_pass: ForwardPass, predicted: int, rivals: list[int], box_rule: BoxRule
) -> Counterfactual | None:
    """Leave out one prototype after the other, then take back those that are not needed."""
    removed: list[int] = []
    while not _turned(_leads_without(forward_pass, [removed], predicted, rivals)):
        left = [prototype for prototype in range(len(forward_pass.activations)) if prototype not in removed]
        if not left:
            return None
        found = _leads_without(forward_pass, [[*removed, prototype] for prototype in left], predicted, rivals)
        removed.append(left[int(found.amin(1).argmin())])
    for prototype in removed[:-1]:
        fewer = [other for other in removed if other != prototype]
        if _turned(_leads_without(forward_pass, [fewer], predicted, rivals)):
            removed = fewer
    sets = [removed[:count] for count in range(len(removed) + 1)]
    leads = _leads_without(forward_pass, sets, predicted, rivals)
    rival = int(leads[-1].argmin())
    effects = (leads[:-1, rival] - leads[1:, rival]).tolist()
    return _without(forward_pass, predicted, rivals[rival], removed, effects, box_rule)


def _turned(leads: Tensor) -> bool:
    return float(leads.min()) <= -_ROUNDING


def _leads_without(forward_pass: ForwardPass, sets: list[list[int]], predicted: int, rivals: list[int]) -> Tensor:
    """[S,R] of the predicted class over each rival without each of S sets of prototypes."""
    model, baseline = forward_pass.model, exact(forward_pass.model.baseline_activations())
    activations = forward_pass.activations.repeat(len(sets), 1)
    for row, removed in zip(activations, sets, strict=True):
        row[removed] = baseline[removed]
    scores = model.evidence_scores(model.from_activations(activations.to(model.class_weights())).logits)
    return exact(scores[:, [predicted]] - scores[:, rivals])


@torch.no_grad()
def _without(
    forward_pass: ForwardPass, predicted: int, rival: int, removed: list[int], effects: list[float], box_rule: BoxRule
) -> Counterfactual:
    """Compute the scores anew as if some prototypes had not been found, each with its effect."""
    activations = forward_pass.activations.clone()
    activations[removed] = exact(forward_pass.model.baseline_activations())[removed]
    after = forward_pass.with_activations(activations)
    (found,) = matches(forward_pass, [predicted], removed, box_rule)
    return Counterfactual(
        predicted=forward_pass.prediction(predicted),
        rival=forward_pass.prediction(rival),
        removed=tuple(PrototypeRemoval(found[p], effect) for p, effect in zip(removed, effects, strict=True)),
        predicted_after=after.prediction(predicted),
        rival_after=after.prediction(rival),
        outcome=after.prediction(after.ranked[0]),
        as_usual=forward_pass.evidence_kind.relative,
    )
