"""The one queue of all work in the background: jobs that report their progress, can be cancelled, and are remembered.

Requests go first: a job pauses at every step while somebody waits for an answer, but never so long that it could not
end on a busy page.  Only jobs wait.  Whoever answers a request submits a job, asks how far it is, or cancels it, and
each of these returns at once; so no request ever holds or waits for what a job needs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

from cachetools import LRUCache

from protoexplain.errors import UserError
from protoexplain_app.roles import EVERYTHING, Access, Role
from protoexplain_app.telemetry import JOBS, JOBS_OVER

log = logging.getLogger(__name__)
T = TypeVar("T")
PAUSE = 0.02
"""Seconds between looks at whether a request is still being answered."""
PATIENCE = 2.0
"""Seconds that a step of a job waits for requests at most."""
REMEMBERED = 200
"""Jobs that are over and whose results stay; the one that was asked for longest ago makes room."""
ABANDONED = 600.0
"""Seconds after which a job is cancelled if nobody asked how far it is: a page that shows one asks every second or so,
in a hidden tab every minute, and a closed one never again."""
FULL = 20
"""Jobs under way at which no further ones are taken."""
WAITING = "waiting for other work to be done"
DEED = "work in the background"


class JobState(StrEnum):
    """What became of a job; `NEW` is one that nobody has submitted."""

    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class JobKey(NamedTuple):
    """Names a job.

    Args:
        kind: Jobs of one kind run one after the other, jobs of different kinds beside each other.
        inputs: All that the result depends on, so that those who ask for the same share one job.
    """

    kind: str
    inputs: Hashable


@dataclass(frozen=True)
class Job(Generic[T]):
    """What is known of a job at a moment.

    Args:
        state: What became of it.
        what: What is being done.
        done: Pieces of that.
        total: All of its pieces; 0 where they are not known yet.
        result: What was found; a part of it while the job is under way, None where nothing is known.
        notes: What the work says beside its result, one sentence each.
        error: Why the job failed.
    """

    state: JobState = JobState.NEW
    what: str = ""
    done: int = 0
    total: int = 0
    result: T | None = None
    notes: tuple[str, ...] = ()
    error: UserError | None = None

    @property
    def under_way(self) -> bool:
        return self.state in (JobState.WAITING, JobState.RUNNING)

    @property
    def finished(self) -> bool:
        return self.state == JobState.FINISHED


class Requests:
    """Counts the requests that are being answered; may be used from any thread."""

    def __init__(self) -> None:
        self._count, self._lock = 0, threading.Lock()

    @property
    def waiting(self) -> int:
        """How many people wait for an answer."""
        return self._count

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Somebody waits for an answer while the block runs."""
        with self._lock:
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1


REQUESTS = Requests()
"""Those to this process, whose processor cores jobs and requests share."""


class RunningJob(Generic[T]):
    """A job as its own work sees it: takes the progress, and stops the work where somebody cancelled it, or where all
    who wanted its result went away.

    Args:
        job: As it begins.
        requests: That go first.
        abandoned: Seconds after which nobody wants its result any more who has not asked for it.
    """

    future: Future[None]

    def __init__(self, job: Job[T], requests: Requests, abandoned: float = ABANDONED) -> None:
        self.job, self._requests, self.cancelled = job, requests, threading.Event()
        self._abandoned, self._asked_for = abandoned, time.monotonic()

    def asked_for(self) -> None:
        """Somebody still wants its result."""
        self._asked_for = time.monotonic()

    def progress(self, what: str, done: int, total: int) -> None:
        """Remember how far the work is, then let requests go first.

        Raises:
            CancelledError: Somebody cancelled the job.
        """
        self.job = replace(self.job, what=what, done=done, total=total)
        self.yield_to_requests()

    def line(self, text: str) -> None:
        """Remember a sentence that is worth reading beside the result."""
        self.job = replace(self.job, notes=(*self.job.notes, text))

    def show(self, result: T) -> None:
        """Remember the part of the result that is known already."""
        self.job = replace(self.job, result=result)

    def yield_to_requests(self) -> None:
        """Return as soon as nobody waits for an answer, or the job has been patient.

        Raises:
            CancelledError: Somebody cancelled the job, or nobody wants its result any more.
        """
        until = time.monotonic() + PATIENCE
        while self._requests.waiting and time.monotonic() < until and not self.cancelled.wait(PAUSE):
            pass
        if self.cancelled.is_set() or time.monotonic() - self._asked_for > self._abandoned:
            raise CancelledError


class JobQueue:
    """Runs jobs in the background and remembers what came of them.

    Every method may be called from any thread and returns at once.

    Args:
        requests: That go first.
        remembered: Jobs that are over and whose results stay.
        abandoned: Seconds after which a job that nobody asks for is cancelled.
        access: Who may begin a job.
    """

    def __init__(
        self,
        requests: Requests = REQUESTS,
        remembered: int = REMEMBERED,
        abandoned: float = ABANDONED,
        access: Access = EVERYTHING,
    ) -> None:
        self.requests, self._abandoned, self.access = requests, abandoned, access
        self._under_way: dict[JobKey, RunningJob[Any]] = {}
        self._over: LRUCache[JobKey, Job[Any]] = LRUCache(remembered)
        self._workers: defaultdict[str, ThreadPoolExecutor] = defaultdict(lambda: ThreadPoolExecutor(max_workers=1))
        self._lock = threading.RLock()

    def find(self, key: JobKey) -> Job[Any]:
        """What is known of a job."""
        with self._lock:
            if key in self._under_way:
                return self._wanted(key)
            return self._over.get(key, Job())

    def submit(
        self, key: JobKey, work: Callable[[RunningJob[T]], T], total: int = 0, result: T | None = None
    ) -> Job[T]:
        """Run a job as soon as those of its kind before it are over; one that is under way goes on instead.

        Args:
            key: Names the job.
            work: Does it; takes the job as it runs and returns the result.
            total: Pieces of work, where they are known.
            result: The part of the result that is known before the start.

        Raises:
            UserError: Whoever asks for it may not begin work, or too much is waiting already.
        """
        with self._lock:
            if key in self._under_way:
                return self._wanted(key)
            self.access.require(Role.MEASURE, DEED)
            if len(self._under_way) >= FULL:
                what = f"the queue is full: {len(self._under_way)} pieces of work are under way already"
                raise UserError(what, DEED, "try again when some of it is done")
            self.forget(key)
            job = Job(JobState.WAITING, WAITING, total=total, result=result)
            running = RunningJob(job, self.requests, self._abandoned)
            running.future = self._workers[key.kind].submit(self._run, key, work, running)
            self._under_way[key] = running
            JOBS.labels(key.kind, job.state).inc()
            return job

    def remember(self, key: JobKey, job: Job[Any]) -> None:
        """Take over a job that is over."""
        with self._lock:
            self._over[key] = job

    def forget(self, key: JobKey) -> None:
        """Let go of a job that is over."""
        with self._lock:
            self._over.pop(key, None)

    def cancel(self, key: JobKey) -> None:
        """Stop a job at its next step, or before it has begun."""
        with self._lock:
            running = self._under_way.get(key)
            if running is not None:
                running.cancelled.set()
                if running.future.cancel():
                    self._end(key, state=JobState.CANCELLED)

    def close(self) -> None:
        """Cancel all jobs and take no further ones."""
        with self._lock:
            for key in list(self._under_way):
                self.cancel(key)
            for worker in self._workers.values():
                worker.shutdown(wait=False)

    def _wanted(self, key: JobKey) -> Job[Any]:
        running = self._under_way[key]
        running.asked_for()
        return running.job

    def _run(self, key: JobKey, work: Callable[[RunningJob[T]], T], running: RunningJob[T]) -> None:
        try:
            running.yield_to_requests()
            running.job = replace(running.job, state=JobState.RUNNING, what="starting")
            JOBS.labels(key.kind, JobState.WAITING).dec()
            JOBS.labels(key.kind, JobState.RUNNING).inc()
            result = work(running)
            self._end(key, state=JobState.FINISHED, result=result, done=running.job.total)
        except CancelledError:
            self._end(key, state=JobState.CANCELLED)
        except UserError as error:
            self._end(key, state=JobState.FAILED, error=error)
        except Exception:
            log.exception("a job of the kind '%s' failed", key.kind)
            ours = UserError("something went wrong in the program", "", "see its log")
            self._end(key, state=JobState.FAILED, error=ours)

    def _end(self, key: JobKey, **changes: Any) -> None:  # noqa: ANN401
        with self._lock:
            job = self._under_way.pop(key).job
            over = replace(job, what="", **changes)
            self.remember(key, over)
        JOBS.labels(key.kind, job.state).dec()
        JOBS_OVER.labels(key.kind, over.state).inc()
        facts = {"kind": key.kind, "state": over.state, "done": over.done, "total": over.total}
        log.info("a job of the kind '%s' is %s", key.kind, over.state, extra={"facts": facts})
