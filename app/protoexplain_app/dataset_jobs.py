"""Jobs that look at all pictures of a data set: run once for each model, their results kept on disk."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain.io.atomic import write_file
from protoexplain.io.cache import cache_folder
from protoexplain.io.manifest import MAX_JSON_BYTES, read_limited
from protoexplain_app.examples import Examples
from protoexplain_app.jobs import Job, JobKey, JobQueue, JobState, RunningJob
from protoexplain_app.roles import Role

DEED = "having the model look at all pictures"
log = logging.getLogger(__name__)
T = TypeVar("T")


class DatasetTask(Protocol[T]):
    """What can be found out about a model by looking at all pictures."""

    name: str
    """The kind of the jobs, and the folder of the results."""
    adapter: TypeAdapter[T]
    """How a result is written and read."""

    def pictures(self, examples: Examples, checkpoint: Checkpoint) -> int:
        """How many pictures have to be looked at.

        Raises:
            UserError: The data do not fit the model.
        """

    def run(self, examples: Examples, explainer: Explainer, job: RunningJob[T]) -> T:
        """Look at all pictures."""

    def valid(self, checkpoint: Checkpoint, result: T) -> bool:
        """Whether a result that was read can be one about this model."""


class DatasetJobs(Generic[T]):
    """The results of a task for all models; may be used from any thread.

    Args:
        task: What is found out.
        examples: The data set.
        jobs: The queue.
        folder: Where results are kept; by default a folder of the user's cache.
    """

    def __init__(self, task: DatasetTask[T], examples: Examples, jobs: JobQueue, folder: Path | None = None) -> None:
        self.task, self.examples, self.jobs = task, examples, jobs
        self.folder = folder or cache_folder() / task.name

    def known(self, checkpoint: Checkpoint) -> Job[T]:
        """What is known without asking, from memory or from disk."""
        job = self.jobs.find(self._key(checkpoint))
        if job.state != JobState.NEW:
            return job
        try:
            total = self.task.pictures(self.examples, checkpoint)
        except UserError as error:
            return Job(JobState.FAILED, error=error)
        result = self._read(checkpoint)
        if result is None:
            return job
        job = Job(JobState.FINISHED, done=total, total=total, result=result)
        self.jobs.remember(self._key(checkpoint), job)
        return job

    def request(self, explainer: Explainer) -> Job[T]:
        """What is known now; where it is nothing, the pictures are looked at in the background.

        Raises:
            UserError: The data do not fit the model, or who asks may not begin work.
        """
        checkpoint = explainer.checkpoint
        known = self.known(checkpoint)
        if known.state != JobState.NEW:
            return known
        self.jobs.access.require(Role.MEASURE, DEED)
        total = self.task.pictures(self.examples, checkpoint)
        return self.jobs.submit(self._key(checkpoint), lambda job: self._run(explainer, job), total)

    def file(self, checkpoint: Checkpoint) -> Path:
        """Where the result of a model is kept."""
        return self.folder / f"{self._key(checkpoint).inputs}.json"

    def _run(self, explainer: Explainer, job: RunningJob[T]) -> T:
        result = self.task.run(self.examples, explainer, job)
        try:
            write_file(self.file(explainer.checkpoint), self.task.adapter.dump_json(result))
        except UserError as error:
            log.warning("the result of '%s' is not kept on disk: %s", self.task.name, error.what)
        return result

    def _read(self, checkpoint: Checkpoint) -> T | None:
        try:
            content = read_limited(self.file(checkpoint), MAX_JSON_BYTES)
            result = self.task.adapter.validate_json(content, strict=True)
        except (UserError, OSError, ValidationError):
            return None
        return result if self.task.valid(checkpoint, result) else None

    def _key(self, checkpoint: Checkpoint) -> JobKey:
        data = self.examples.fingerprint(checkpoint) or "none"
        return JobKey(self.task.name, f"{checkpoint.weights_sha256[:32]}-{data[:32]}")
