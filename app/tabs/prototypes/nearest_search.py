"""The patches nearest to each prototype."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter

from app.dataset_jobs import DatasetJobs
from app.examples import Examples
from app.jobs import Job, RunningJob
from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.dataset_view import DatasetView
from protoexplain.errors import UserError
from protoexplain.explain.explainer import Explainer
from protoexplain.explain.prototypes.prototype import SplitExplanation, explain_prototypes

NEAREST = 5
SPLITS = ("train", "test")

Nearest = tuple[Mapping[str, SplitExplanation], ...]
"""Of each prototype: split -> its images."""
Search = Job[Nearest]
Neighbours = DatasetJobs[Nearest]


class NearestPatches:
    """Which patches of all pictures are nearest to each prototype?"""

    name = "neighbours"
    adapter: TypeAdapter[Nearest] = TypeAdapter(tuple[dict[str, SplitExplanation], ...])

    def pictures(self, examples: Examples, checkpoint: Checkpoint) -> int:
        return len(_own(examples, checkpoint).image_set.records)

    def run(self, examples: Examples, explainer: Explainer, job: RunningJob[Nearest]) -> Nearest:
        checkpoint = explainer.checkpoint
        view = _own(examples, checkpoint)
        config = checkpoint.config.data.model_copy(update={"workers": 0})
        found = explain_prototypes(
            explainer.model,
            checkpoint.prototypes,
            checkpoint.classes,
            {name: view.dataset(getattr(view, name), config) for name in SPLITS},
            NEAREST,
            progress=lambda done, total: job.progress("looking at all pictures", done, total),
        )
        return tuple(dict(entry.splits) for entry in found)

    def valid(self, checkpoint: Checkpoint, result: Nearest) -> bool:
        labels = range(len(checkpoint.classes))
        near = [near for entry in result for split in entry.values() for near in (*split.nearest, *split.nearest_own)]
        return all(one.label in labels for one in near) and len(result) == len(checkpoint.prototypes)


def _own(examples: Examples, checkpoint: Checkpoint) -> DatasetView:
    view = examples.own_view(checkpoint)
    if view is None:
        raise UserError("the data set of the model is not at hand")
    return view
