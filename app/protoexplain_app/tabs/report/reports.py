"""Reports that visitors asked for: made by jobs, kept for a while, then removed."""

from __future__ import annotations

import atexit
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain.report.formats import FORMATS, render
from protoexplain.report.gather import ReportImage, ReportOptions, gather
from protoexplain_app.jobs import Job, JobKey, JobQueue, JobState, RunningJob
from protoexplain_app.roles import Role

REMEMBERED, REMEMBERED_SECONDS, UNDER_WAY = 12, 3600, 4
KIND = "report"
DEED = "making a report"
LAYING_OUT = "laying out"
_UNFIT = re.compile(r"[^A-Za-z0-9-]+")


@dataclass(frozen=True)
class ReportFiles:
    """A report, as far as it is made.

    Args:
        token: Names it in addresses; nobody can guess it.
        name: Of the files that are offered, without an ending.
        files: Ending -> file, as far as they are written.
        missing: Ending -> why it could not be written.
        refused: Pictures that could not be read: name and reason.
    """

    token: str
    name: str
    files: Mapping[str, Path] = field(default_factory=dict)
    missing: Mapping[str, UserError] = field(default_factory=dict)
    refused: tuple[tuple[str, str], ...] = ()


class Reports:
    """Makes reports and keeps them in a folder of its own, which is removed when the program ends.

    Every method may be called from any thread.

    Args:
        jobs: The queue.
        remembered: Reports that stay; older ones go.
        seconds: For which a report stays.
    """

    def __init__(self, jobs: JobQueue, remembered: int = REMEMBERED, seconds: float = REMEMBERED_SECONDS) -> None:
        self.jobs, self._remembered, self._seconds = jobs, remembered, seconds
        self._started: dict[str, float] = {}
        """Token -> when the report was asked for, oldest first."""
        self._lock = threading.Lock()
        self._folder = Path(tempfile.mkdtemp(prefix="protoexplain-reports-"))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)

    def start(self, explainer: Explainer, images: Sequence[ReportImage], options: ReportOptions, name: str) -> str:
        """Begin a report in the background; returns its token.

        Args:
            explainer: The model.
            images: Pictures to explain.
            options: What goes into it.
            name: Of the model, for the names of the files.

        Raises:
            UserError: Too many are under way, or who asks may not begin work.
        """
        self.jobs.access.require(Role.MEASURE, DEED)
        with self._lock:
            self._sweep()
            if sum(self._job(token).under_way for token in self._started) >= UNDER_WAY:
                raise UserError("other reports are being made", "", "try again in a minute")
            begun = ReportFiles(secrets.token_urlsafe(24), f"report-{_UNFIT.sub('-', name).strip('-')}")
            self.jobs.submit(
                JobKey(KIND, begun.token), lambda job: self._make(begun, explainer, images, options, job), result=begun
            )
            self._started[begun.token] = time.monotonic()
        return begun.token

    def find(self, token: str) -> Job[ReportFiles]:
        """How far a report is.

        Raises:
            UserError: It is gone, or there never was one.
        """
        with self._lock:
            self._sweep()
        job = self._job(token)
        if job.state == JobState.NEW:
            raise UserError("the report is no longer here", "", "make it again")
        return job

    def file(self, token: str, ending: str) -> tuple[str, bytes]:
        """Name and content of a file of a report.

        Raises:
            UserError: There is none.
        """
        made = self.find(token).result
        if made is None or ending not in made.files:
            raise UserError("there is no such file", "", "make the report again")
        try:
            return f"{made.name}{ending}", made.files[ending].read_bytes()
        except OSError as error:
            raise UserError("the report is no longer here", "", "make it again") from error

    def _make(
        self,
        made: ReportFiles,
        explainer: Explainer,
        images: Sequence[ReportImage],
        options: ReportOptions,
        job: RunningJob[ReportFiles],
    ) -> ReportFiles:
        report = gather(explainer, images, options, job.progress)
        made = replace(made, refused=tuple((entry.name, entry.reason) for entry in report.refused))
        for number, ending in enumerate(sorted(FORMATS, key=lambda ending: ending == ".pdf")):
            job.show(made)
            job.progress(LAYING_OUT, number, len(FORMATS))
            try:
                content = render(report, ending)
            except UserError as error:
                made = replace(made, missing={**made.missing, ending: error})
                continue
            path = self._folder / f"{made.token}{ending}"
            path.write_bytes(content)
            made = replace(made, files={**made.files, ending: path})
        return made

    def _job(self, token: str) -> Job[ReportFiles]:
        return self.jobs.find(JobKey(KIND, token))

    def _sweep(self) -> None:
        """Remove reports that are too old or too many; those under way stay."""
        over = [token for token in self._started if not self._job(token).under_way]
        now = time.monotonic()
        for number, token in enumerate(over):
            if now - self._started[token] > self._seconds or len(over) - number > self._remembered:
                del self._started[token]
                self.jobs.forget(JobKey(KIND, token))
                for path in self._folder.glob(f"{token}.*"):
                    path.unlink(missing_ok=True)
