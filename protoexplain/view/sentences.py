"""Sentences that follow from the numbers of an explanation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protoexplain.explanations.attribution.attribute import Attributions
from protoexplain.explanations.attribution.fit import NEIGHBOURHOODS
from protoexplain.explanations.attribution.methods import METHODS
from protoexplain.explanations.evidence.contrast import Contrast
from protoexplain.explanations.evidence.counterfactual import Counterfactual
from protoexplain.explanations.evidence.local import ClassExplanation, Explanation
from protoexplain.explanations.evidence.occlusion_test import BoxOcclusionTest
from protoexplain.explanations.evidence.what_if import EvidenceChange, WhatIf
from protoexplain.models.contract import EvidenceKind
from protoexplain.view.numbers import percent


def about_pictures(drawn: bool) -> tuple[str, str, str, str]:
    """What is shown of a match: the image, its heat map, the prototype, its training image.

    Args:
        drawn: Whether the model draws its prototypes, whole pictures; otherwise a training patch stands for each.
    """
    if drawn:
        return "this image", "as a whole", "beside this prototype", "nearest training image"
    return "this part of the image", "where it looks similar", "looks like this patch", "of this training image"


def about_blanking(tested: BoxOcclusionTest) -> str:
    """What blanking the box of a match does to its similarity."""
    if tested.fall > 0:
        count = len(tested.random_falls)
        share = f"more than {tested.rank * count:g} of {count} random boxes"
        return f"Covering this part lowers the similarity by {tested.fall:.2f}, {share}."
    return f"Covering this part does not lower the similarity ({-tested.fall:+.2f})."


def about_score(kind: EvidenceKind) -> str:
    """What evidence adds up to."""
    return "score relative to the average class" if kind.relative else "score"


def about_route(explanation: Explanation) -> list[str]:
    """The way through a tree, if the model is one."""
    route = explanation.route
    if route is None:
        return []
    sides = {True: "found", False: "missing"}
    steps = [f"prototype {step.prototype} {sides[step.found]} ({step.similarity:.2f})" for step in route.decisions]
    names = {entry.label: entry.name for entry in explanation.predictions}
    end, said = names[route.label], explanation.predictions[0].name
    leaf = f"a leaf that is {percent(route.purity)} {end}"
    sure = f"This way has a probability of {percent(route.probability)}"
    whole = "the whole tree says the same" if end == said else f"the whole tree says {said}"
    return [f"Through the tree: {', '.join(steps)}; then {leaf}. {sure}; {whole}."]


def about_change(change: Counterfactual | None) -> str:
    """What would change the answer."""
    if change is None:
        return "No removal of prototypes is known that would change the answer."
    numbers = [removal.match.prototype for removal in change.removed]
    both = f" ({change.rival.name} overtakes {change.predicted.name} too)"
    third = "" if change.outcome.label == change.rival.label else both
    removed = f"With {_named(numbers)} as in an average image" if change.as_usual else f"Without {_named(numbers)}"
    return f"{removed} the model would say {change.outcome.name}{third}."


def about_contrast(found: Contrast, shown: int = 3) -> str:
    """Why one class and not the other."""
    parts = [f"{s.difference:+.2f} prototype {s.for_this.prototype}" for s in found.separations[:shown]]
    rest = found.total() - sum(s.difference for s in found.separations[:shown])
    leads = "leads" if found.difference >= 0 else "is behind"
    lead = f"{found.this.name} and not {found.other.name}: its score {leads} by {abs(found.difference):.2f}"
    return f"{lead} = {', '.join(parts)}, {rest:+.2f} all others."


def about_decision(contrast: Contrast | None, change: Counterfactual | None) -> list[str]:
    """Why one class and not the other, where there is another; and what would change the answer."""
    return [*([] if contrast is None else [about_contrast(contrast)]), about_change(change)]


def about_what_if(found: WhatIf, readable: Callable[[str], str] = str) -> str:
    """What an edit does to the answer, and which prototype did most of it.

    Args:
        found: Both answers.
        readable: Class name -> how it is told.
    """
    name = readable(found.named.before.name)
    was, now = (percent(side.probability) for side in (found.named.before, found.named.after))
    odds = f"({now})" if was == now else f"({was} before, {now} now)"
    if found.rival is None:
        answer = f"The model still says {name} {odds}"
    else:
        rival = f"{readable(found.rival.after.name)} ({percent(found.rival.after.probability)})"
        answer = f"The model now says {rival} and no longer {name} {odds}"
    loss, gain = (_strongest(changes) for changes in (found.losses, found.gains))
    if loss and (found.change <= 0 or not gain):
        return f"{answer}; the most important loss is {_from_to(loss)}."
    if gain:
        return f"{answer}; the most important gain is {_from_to(gain)}."
    return f"{answer}; no prototype changes what it says."


LEAST = 5e-4
"""Evidence, and changes of it, that would be told as zero."""


def _strongest(changes: Sequence[EvidenceChange]) -> EvidenceChange | None:
    return changes[0] if changes and abs(changes[0].change) >= LEAST else None


def _from_to(change: EvidenceChange) -> str:
    """A prototype and its way from one similarity to another."""
    before, after = change.before.similarity, change.after.similarity
    prototype = f"prototype {change.before.prototype}"
    if f"{before:.2f}" == f"{after:.2f}":
        return f"{prototype}, which stayed at {after:.2f}"
    return f"{prototype}, which {'fell' if after < before else 'rose'} from {before:.2f} to {after:.2f}"


def about_absence(shown: ClassExplanation, most: int = 3) -> list[str]:
    """What is missing, found but unwanted and missing though wanted, each with its strongest prototypes."""
    kinds = (
        ("missing as expected, adds", [(m.prototype, m.absence) for m in shown.missing]),
        ("missing, takes away", [(m.prototype, -m.absence) for m in shown.missing]),
        ("found but unwanted, costs", [(m.prototype, m.unwanted or 0.0) for m in shown.unwanted]),
        ("missing though wanted, costs", [(m.prototype, m.lacking or 0.0) for m in shown.lacking]),
    )
    return [
        f"{kind}: " + ", ".join(f"{value:.3f} prototype {prototype}" for prototype, value in strongest)
        for kind, values in kinds
        if (strongest := [(prototype, value) for prototype, value in values if value >= LEAST][:most])
    ]


def about_fit(found: Attributions) -> list[str]:
    """Which method fits which question."""
    lines = []
    for name, method in found.recommended.items():
        question = NEIGHBOURHOODS[name].question
        if method is None:
            lines.append(f"{question} No method tells more than a constant would ({name}).")
        else:
            error = found.errors[name][method]
            lines.append(f"{question} {METHODS[method].title}, fit error {error:.2f} ({name}).")
    return lines


def _named(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"prototype {numbers[0]}"
    return f"prototypes {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
