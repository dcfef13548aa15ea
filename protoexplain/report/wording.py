"""The sentences of a report that do not come from the explanations themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from protoexplain.class_names import readable
from protoexplain.explanations.explainer import Explainer
from protoexplain.view.numbers import percent


def opening(explainer: Explainer) -> tuple[str, str, str]:
    """What such a model is, and how to read the pages, for someone who has never heard of prototypes."""
    if explainer.model.prototype_source.decoded:
        added = (
            " and a constant add up to exactly the score on which the answer rests; similarity is minus the squared"
            " distance, zero for a perfect match, and evidence counts from what an average training picture gets."
            if explainer.model.full_evidence_kind.relative
            else " add up to exactly the score on which the answer rests; similarity is the probability that the"
            " picture shows the prototype, and one that is missing may speak for a class, too."
        )
        return (
            "This model recognises what a picture shows by comparing it as a whole with pictures that it has learned,"
            " its prototypes, which it draws itself; the training picture beside each is the one nearest to it.",
            f"So it can say why: this picture looks like that prototype, and the numbers beside all prototypes{added}",
            "Read each row from left to right (the picture, the prototype, what it counts, the training picture nearest"
            " to it), and trust a row only where the pictures look alike to you, too.",
        )
    learned = (
        "parts of training pictures that it remembers, its prototypes"
        if explainer.model.prototype_source.projected
        else "patterns that it has learned, its prototypes, each shown here by the part of a training picture that fits"
        " it best"
    )
    relative = explainer.model.evidence_kind.relative
    added = "and what an average picture gets" if relative else "together"
    return (
        f"This model recognises what a picture shows by comparing its parts with {learned}.",
        f"So it can say why: this part of the picture looks like that prototype, and the numbers beside all prototypes"
        f" {added} add up to exactly the score on which the answer rests.",
        "Read each row from left to right (the part, the prototype that it looks like, what it counts, where the"
        " picture looks like the prototype, the training picture that it comes from), and trust a row only where the"
        " two parts look alike to you, too.",
    )


def about_parts(part: str | None, frequency: object) -> str:
    """What part of the object a prototype looks at; empty where that is unknown."""
    if part is None or not isinstance(frequency, int | float) or not math.isfinite(frequency):
        return ""
    return f"Looks at the {part} in {frequency:.0%} of the test pictures of its class that show it."


def shortened(names: Sequence[str], most: int = 40) -> str:
    """Class names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(map(readable, names[:most]))}{more}"


def odds(share: float) -> str:
    """A chance in words: 1 in 20."""
    return f"1 in {1 / share:.0f}" if 0 < share <= 0.5 else percent(share)


def printable(name: str) -> str:
    """A name from a file system, in which bytes that are no text become question marks."""
    return name.encode("utf-8", "replace").decode()
