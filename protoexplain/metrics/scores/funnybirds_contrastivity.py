"""Contrastivity of FunnyBirds: do explanations of two classes name the parts of each? (Hesse et al. 2023)

Two classes share two parts each with an image, no part both.  The explanation of each has to give more importance to
the parts that this class shares than that of the other does (target sensitivity); ties get nothing.  Images count whose
class scores behave as assumed: the score of each class suffers more from the loss of the parts that it shares.
"""

from __future__ import annotations

from protoexplain.metrics.base import Metric, MetricSettings, Score
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.stats.part_scores import averaged, contrastivity_values

_NOT_AS_ASSUMED = "images whose scores do not fall as the contrast assumes"


def compute(observed: Observations, settings: MetricSettings) -> Score:
    """Of explanations by the first of `part_rules`, the others in the details."""
    return averaged(observed, lambda rule: contrastivity_values(observed, rule), _NOT_AS_ASSUMED)


METRIC = Metric(
    title="FunnyBirds: contrastivity",
    help="How often the explanation of a class gives the parts that it shares with the image more importance than the "
    "explanation of another class does, which shares others. High is good; 0.5 is what random numbers get.",
    higher_is_better=True,
    passes=frozenset({"scores", "without", "parts"}),
    needs=frozenset({"interventions"}),
    compute=compute,
)
