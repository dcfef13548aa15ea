"""Sentences that follow from the numbers of an explanation."""

from __future__ import annotations

from collections.abc import Sequence

from protoexplain.explain.attribution import Attributions
from protoexplain.explain.attribution_fit import NEIGHBOURHOODS
from protoexplain.explain.attribution_methods import METHODS
from protoexplain.explain.contrast import Contrast
from protoexplain.explain.counterfactual import Change
from protoexplain.explain.honesty import Honesty
from protoexplain.explain.local import ClassExplanation


def about_box(tried: Honesty) -> str:
    """What blanking the box does, beside a heat map."""
    return f"blanking the box: {-tried.fall:+.2f}, more than {tried.rank:.0%} of random boxes"


def about_change(change: Change | None) -> str:
    """What would change the answer."""
    if change is None:
        return "No removal of prototypes would change the answer."
    numbers = [removal.match.prototype for removal in change.removed]
    both = f" ({change.rival.name} overtakes {change.predicted.name} too)"
    third = "" if change.outcome.label == change.rival.label else both
    return f"Without {_named(numbers)} the model would say {change.outcome.name}{third}."


def about_contrast(found: Contrast, unit: str, shown: int = 3) -> str:
    """Why one class and not the other."""
    parts = [f"{s.difference:+.2f} prototype {s.for_this.prototype}" for s in found.separations[:shown]]
    rest = found.total() - sum(s.difference for s in found.separations[:shown])
    lead = f"{found.this.name} and not {found.other.name}: a lead of {found.difference:+.2f} {unit}"
    return f"{lead} = {', '.join(parts)}, {rest:+.2f} all others."


def about_absence(shown: ClassExplanation, most: int = 3) -> list[str]:
    """What is missing as expected, found but unwanted and missing though wanted, each with its strongest prototypes."""
    kinds = (
        ("missing as expected, adds", [(m.prototype, m.absence) for m in shown.missing]),
        ("found but unwanted, costs", [(m.prototype, m.unwanted or 0.0) for m in shown.unwanted]),
        ("missing though wanted, costs", [(m.prototype, m.lacking or 0.0) for m in shown.lacking]),
    )
    return [
        f"{kind}: " + ", ".join(f"{value:.3f} prototype {prototype}" for prototype, value in strongest)
        for kind, values in kinds
        if (strongest := [(prototype, value) for prototype, value in values if value > 0][:most])
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
