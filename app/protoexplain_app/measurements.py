"""Metrics of models, measured on request by jobs that can be cancelled and go on where they were.

Results are added to the checkpoint; where that cannot be written, they are kept in a folder of the user's cache.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from protoexplain.checkpoint.checkpoint import Checkpoint, add_metrics
from protoexplain.checkpoint.model_card import INTERPRETABILITY
from protoexplain.errors import UserError
from protoexplain.fabric import make_fabric
from protoexplain.io.atomic import require_writable, write_file
from protoexplain.io.cache import cache_folder
from protoexplain.io.manifest import MAX_JSON_BYTES, read_limited
from protoexplain.metrics.base import MetricResult, Need
from protoexplain.metrics.cached_results import cached_results
from protoexplain.metrics.observe.images import Images, interventions_of
from protoexplain.metrics.observe.needs import missing_needs
from protoexplain.metrics.runner import measure
from protoexplain_app.examples import Examples
from protoexplain_app.jobs import Job, JobKey, JobQueue, RunningJob
from protoexplain_app.roles import Role

log = logging.getLogger(__name__)
BATCH = 8
"""Small batches let requests go first sooner."""
KIND = "measurement"
DEED = "measuring"

Measurement = Job[tuple[str, ...]]
"""A measurement that was asked for; its result names the metrics."""


class Measurements:
    """What was measured of models, and what is being measured; may be used from any thread.

    Args:
        examples: The data set.
        jobs: The queue.
        folder: Where results and interrupted work are kept; by default a folder of the user's cache.
        device: Where models run.
    """

    def __init__(self, examples: Examples, jobs: JobQueue, folder: Path | None = None, device: str = "cpu") -> None:
        self.examples, self.jobs, self.folder = examples, jobs, folder or cache_folder() / "measurements"
        self.device = device
        self._read: dict[str, tuple[int, dict[str, MetricResult]]] = {}

    def results(self, checkpoint: Checkpoint) -> dict[str, MetricResult]:
        """Metric -> result, from the checkpoint and from outside it.

        Raises:
            UserError: The checkpoint's own cannot be read.
        """
        return {**cached_results(checkpoint), **self._outside(checkpoint)}

    def metrics(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        """A checkpoint's measurements with those that were kept outside it."""
        outside = {name: result.to_dict() for name, result in self._outside(checkpoint).items()}
        own = checkpoint.metrics.get(INTERPRETABILITY)
        joined = {**own, **outside} if isinstance(own, dict) else outside
        return {**checkpoint.metrics, INTERPRETABILITY: joined} if outside else checkpoint.metrics

    def lacks(self, checkpoint: Checkpoint) -> Mapping[Need, tuple[str, str]]:
        """Unmet need -> (what is missing, what would provide it).

        Raises:
            UserError: There is no data set, or it is another model's.
        """
        view = self.examples.matching_view(checkpoint)
        images, size = view.image_set, checkpoint.config.data.image_size
        tested, training = view.listed("test"), view.listed("train")
        looked_at = Images(images.name, tested, (), view.crop, size, images.part_names, (), training)
        return missing_needs(checkpoint, replace(looked_at, interventions=interventions_of(images)), None)

    def job(self, checkpoint: Checkpoint) -> Measurement:
        """The last measurement that was asked for since the app started."""
        return self.jobs.find(JobKey(KIND, self._name(checkpoint)))

    def start(self, checkpoint: Checkpoint, names: Sequence[str], per_class: int = 0) -> Measurement:
        """Measure in the background; what is under way for the model goes on instead.

        Args:
            checkpoint: The model.
            names: Metrics.
            per_class: Only so many test images of each class; 0 takes all.

        Raises:
            UserError: As `lacks`, or no metric was named, or there is no place for the work and its results, or who
                asks may not begin work.
        """
        self.jobs.access.require(Role.MEASURE, DEED)
        self.lacks(checkpoint)
        if not names:
            raise UserError("no metric was chosen", "", "tick at least one")
        require_writable(self.folder)
        wanted = tuple(names)
        return self.jobs.submit(
            JobKey(KIND, self._name(checkpoint)),
            lambda job: self._measure(checkpoint, wanted, per_class, job),
            result=wanted,
        )

    def cancel(self, checkpoint: Checkpoint) -> None:
        """Stop what is under way for a model; started again, it goes on where it was.

        Raises:
            UserError: Who asks could not have begun it.
        """
        self.jobs.access.require(Role.MEASURE, DEED)
        self.jobs.cancel(JobKey(KIND, self._name(checkpoint)))

    def _measure(
        self, checkpoint: Checkpoint, names: tuple[str, ...], per_class: int, job: RunningJob[tuple[str, ...]]
    ) -> tuple[str, ...]:
        folder = self.examples.folder
        assert folder is not None
        job.progress("reading the test images", 0, 0)
        config = checkpoint.config
        alone = replace(
            checkpoint,
            config=config.model_copy(update={"data": config.data.model_copy(update={"workers": 0})}),
        )
        results = measure(
            alone,
            folder,
            names,
            {"images_per_class": per_class, "batch_size": BATCH},
            job,
            cached=self.results(checkpoint),
            work=self.folder / "work" / self._name(checkpoint),
            fabric=make_fabric(self.device),
        )
        if not self._add(checkpoint, results):
            job.line("The checkpoint could not be written; the results are in the user's cache.")
        return names

    def _add(self, checkpoint: Checkpoint, results: Mapping[str, MetricResult]) -> bool:
        """Add results to the checkpoint; False where they had to be kept beside it, with those from before."""
        try:
            add_metrics(checkpoint, {INTERPRETABILITY: {name: r.to_dict() for name, r in results.items()}})
            self._file(checkpoint).unlink(missing_ok=True)
            return True
        except (UserError, OSError) as error:
            log.warning("results are kept outside the checkpoint: %s", error)
            both = {**self._outside(checkpoint), **results}
            content = {name: result.to_dict() for name, result in both.items()}
            write_file(self._file(checkpoint), json.dumps(content, allow_nan=False).encode())
            return False

    def _outside(self, checkpoint: Checkpoint) -> dict[str, MetricResult]:
        """Results that are kept outside a checkpoint; none where the file is damaged."""
        path, key = self._file(checkpoint), self._name(checkpoint)
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            return {}
        known = self._read.get(key)
        if known is None or known[0] != changed:
            try:
                content = json.loads(read_limited(path, MAX_JSON_BYTES))
                found = {name: MetricResult.from_dict(name, entry) for name, entry in content.items()}
            except (UserError, ValueError, TypeError, AttributeError):
                found = {}
            known = self._read[key] = (changed, found)
        return known[1]

    def _file(self, checkpoint: Checkpoint) -> Path:
        return self.folder / f"{self._name(checkpoint)}.json"

    def _name(self, checkpoint: Checkpoint) -> str:
        return checkpoint.weights_sha256[:32]
