"""Reports that visitors asked for: made one after the other in the background, kept for a while, then removed."""

from __future__ import annotations

import atexit
import logging
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.courtesy import VISITORS
from protoexplain.errors import UserError
from protoexplain.explain.session import Explainer
from protoexplain.report.formats import FORMATS, render
from protoexplain.report.gather import Given, Wanted, gather

log = logging.getLogger(__name__)
KEPT, KEPT_SECONDS, UNDER_WAY = 12, 3600, 4
LAYING_OUT = "laying out"
_UNFIT = re.compile(r"[^A-Za-z0-9-]+")


@dataclass(frozen=True)
class Job:
    """A report under way, or made.

    Args:
        token: Names it in addresses; nobody can guess it.
        name: Of the files that are offered, without an ending.
        since: When it was asked for, in seconds.
        what: Is being done.
        done: How much of it.
        total: How much there is.
        files: Ending -> file, as far as they are written.
        missing: Ending -> why it could not be written.
        refused: Pictures that could not be read: name and reason.
        trouble: Why there is no report.
        over: Whether nothing more will come.
    """

    token: str
    name: str
    since: float
    what: str = "waiting for another report"
    done: int = 0
    total: int = 0
    files: Mapping[str, Path] = field(default_factory=dict)
    missing: Mapping[str, UserError] = field(default_factory=dict)
    refused: tuple[tuple[str, str], ...] = ()
    trouble: UserError | None = None
    over: bool = False


class Reports:
    """Makes reports and keeps them in a folder of its own, which is removed when the program ends.

    Every method may be called from any thread.

    Args:
        kept: Reports that stay; older ones go.
        seconds: For which a report stays.
    """

    def __init__(self, kept: int = KEPT, seconds: float = KEPT_SECONDS) -> None:
        self._kept, self._seconds = kept, seconds
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._place: Path | None = None

    def start(self, explainer: Explainer, given: Sequence[Given], wanted: Wanted, name: str) -> Job:
        """Begin a report in the background.

        Args:
            explainer: The model.
            given: Pictures to explain.
            wanted: What goes into it.
            name: Of the model, for the names of the files.

        Raises:
            UserError: Too many are under way.
        """
        with self._lock:
            self._sweep()
            if sum(not job.over for job in self._jobs.values()) >= UNDER_WAY:
                raise UserError("other reports are being made", "", "try again in a minute")
            job = Job(secrets.token_urlsafe(24), f"report-{_UNFIT.sub('-', name).strip('-')}", time.monotonic())
            self._jobs[job.token] = job
        threading.Thread(target=self._make, args=(job.token, explainer, given, wanted), daemon=True).start()
        return job

    def find(self, token: str) -> Job:
        """How far a report is.

        Raises:
            UserError: It is gone, or there never was one.
        """
        with self._lock:
            self._sweep()
            if token not in self._jobs:
                raise UserError("the report is no longer here", "", "make it again")
            return self._jobs[token]

    def file(self, token: str, ending: str) -> tuple[str, bytes]:
        """Name and content of a file of a report.

        Raises:
            UserError: There is none.
        """
        job = self.find(token)
        if ending not in job.files:
            raise UserError("there is no such file", "", "make the report again")
        try:
            return f"{job.name}{ending}", job.files[ending].read_bytes()
        except OSError as error:
            raise UserError("the report is no longer here", "", "make it again") from error

    def _make(self, token: str, explainer: Explainer, given: Sequence[Given], wanted: Wanted) -> None:
        with self._turn:
            try:
                self._write(token, explainer, given, wanted)
            except UserError as error:
                self._note(token, trouble=error)
            except Exception:
                log.exception("a report failed")
                self._note(token, trouble=UserError("something went wrong in the program", "", "see its log"))
            self._note(token, over=True)

    def _write(self, token: str, explainer: Explainer, given: Sequence[Given], wanted: Wanted) -> None:
        def told(what: str, done: int, total: int) -> None:
            VISITORS.give_way()
            self._note(token, what=what, done=done, total=total)

        report = gather(explainer, given, wanted, told)
        self._note(token, refused=tuple((entry.name, entry.reason) for entry in report.refused))
        for number, ending in enumerate(sorted(FORMATS, key=lambda ending: ending == ".pdf")):
            self._note(token, what=LAYING_OUT, done=number, total=len(FORMATS))
            try:
                content = render(report, ending)
            except UserError as error:
                self._note(token, missing={**self.find(token).missing, ending: error})
                continue
            path = self._folder() / f"{token}{ending}"
            path.write_bytes(content)
            self._note(token, files={**self.find(token).files, ending: path})

    def _note(self, token: str, **changes: object) -> None:
        with self._lock:
            if token in self._jobs:
                self._jobs[token] = replace(self._jobs[token], **changes)  # type: ignore[arg-type]

    def _folder(self) -> Path:
        with self._lock:
            if self._place is None:
                self._place = Path(tempfile.mkdtemp(prefix="protoexplain-reports-"))
                atexit.register(shutil.rmtree, self._place, ignore_errors=True)
            return self._place

    def _sweep(self) -> None:
        """Remove reports that are too old or too many; those under way stay."""
        over = [job for job in self._jobs.values() if job.over]
        now = time.monotonic()
        for place, job in enumerate(over):
            if now - job.since > self._seconds or len(over) - place > self._kept:
                del self._jobs[job.token]
                for path in job.files.values():
                    path.unlink(missing_ok=True)
