"""Edits of models as jobs: what an edit would change, and the new checkpoints that are saved.

The pictures are looked at once for each model.  Jobs are named by the weights of a checkpoint and by decisions, not by
a visitor, so visitors who decide the same share one answer; what somebody decided is shown to nobody else.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cachetools import LRUCache

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.editing.carry_out import Edited, carry_out, refit
from protoexplain.editing.decisions import Decision, Decisions
from protoexplain.editing.preview import EditPreview, open_preview
from protoexplain.editing.report import EditReport, report
from protoexplain.editing.save import EditResult, save
from protoexplain.errors import UserError
from protoexplain.io.atomic import is_leftover
from protoexplain_app.examples import START_WITH_DATA, Examples
from protoexplain_app.jobs import Job, JobKey, JobQueue, RunningJob
from protoexplain_app.roles import Access, Role

MAX_PREVIEWS = 2
"""Models whose latent maps of all pictures stay, those edited last."""
KIND = "edit"
SAVING = "saving a checkpoint"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

ReportJob = Job[EditReport]
"""What an edit would change."""


class Edits:
    """Reports on edits and new checkpoints; may be used from any thread.

    Args:
        examples: The data set.
        jobs: The queue.
        device: Where models run.
    """

    def __init__(self, examples: Examples, jobs: JobQueue, device: str = "cpu") -> None:
        self.examples, self.jobs, self.device = examples, jobs, device
        self._previews: LRUCache[str, EditPreview] = LRUCache(MAX_PREVIEWS)
        self._lock = threading.Lock()

    @property
    def access(self) -> Access:
        """Who may try out an edit, and who may save one."""
        return self.jobs.access

    def report(self, checkpoint: Checkpoint, decisions: tuple[Decision, ...]) -> ReportJob:
        """What is known without asking."""
        return self.jobs.find(_key(checkpoint, decisions))

    def request_report(self, checkpoint: Checkpoint, decisions: tuple[Decision, ...] = ()) -> ReportJob:
        """What is known now; where it is nothing, the edit is carried out in the background.

        Without decisions it makes sure of the latent maps of all pictures.
        """
        known = self.report(checkpoint, decisions)
        if known.finished and (decisions or self.preview(checkpoint) is not None):
            return known
        return self.jobs.submit(_key(checkpoint, decisions), lambda job: self._carry_out(checkpoint, decisions, job)[2])

    def prepare(self, checkpoint: Checkpoint) -> None:
        """Make sure of the latent maps of all pictures, if whoever asks may begin work."""
        if self.access.allows(Role.MEASURE):
            self.request_report(checkpoint)

    def preview(self, checkpoint: Checkpoint) -> EditPreview | None:
        """The latent maps of all pictures, of a model whose pictures were looked at."""
        with self._lock:
            return self._previews.get(checkpoint.weights_sha256)

    def save(self, checkpoint: Checkpoint, decisions: tuple[Decision, ...], out: Path) -> Job[EditResult]:
        """Carry decisions out once more, and write the new checkpoint, in the background.

        Raises:
            UserError: Whoever asks may not write checkpoints.
        """
        self.access.require(Role.EDIT, SAVING)

        def work(job: RunningJob[EditResult]) -> EditResult:
            preview, edited, found = self._carry_out(checkpoint, decisions, job)
            command = f"protoexplain edit {checkpoint.path.name} --decisions FILE --data DATA --out {out.name}"
            return save(
                preview,
                edited,
                found,
                out,
                command,
                lambda done, total: job.progress("cutting out pictures", done, total),
            )

        return self.jobs.submit(_key(checkpoint, decisions, out), work)

    def saving(self, checkpoint: Checkpoint, decisions: tuple[Decision, ...], out: Path) -> Job[EditResult]:
        """How far a new checkpoint is."""
        return self.jobs.find(_key(checkpoint, decisions, out))

    def _carry_out(
        self, checkpoint: Checkpoint, decisions: tuple[Decision, ...], job: RunningJob[Any]
    ) -> tuple[EditPreview, Edited, EditReport]:
        preview = self._opened(checkpoint, job)
        edited = carry_out(preview, decisions)
        epochs = refit(preview, edited, watcher=job) if decisions else 0
        return preview, edited, report(preview, carry_out(preview, ()), edited, epochs)

    def _opened(self, checkpoint: Checkpoint, job: RunningJob[Any]) -> EditPreview:
        """The latent maps of all pictures; these are looked at where that was not done yet."""
        preview = self.preview(checkpoint)
        if preview is None:
            folder = self.examples.folder
            if folder is None:
                raise UserError("there is no data set", "", START_WITH_DATA)
            preview = open_preview(
                checkpoint,
                folder,
                lambda done, total: job.progress("looking at all pictures", done, total),
                self.device,
            )
        with self._lock:
            self._previews[checkpoint.weights_sha256] = preview
        return preview


def new_place(root: Path, name: str) -> Path:
    """Where a new checkpoint of that name will lie.

    Raises:
        UserError: It is no name for a folder, or there is something under it.
    """
    name = name.strip()
    if not _NAME.fullmatch(name) or is_leftover(Path(name)):
        raise UserError(
            "this is no name for a checkpoint", "", "use up to 64 letters, digits, dots, hyphens and underscores"
        )
    if (root / name).exists():
        raise UserError(f"there is something under the name '{name}' already", "", "choose another name")
    return root / name


def free_name(root: Path, model: str) -> str:
    """A name for the new checkpoint that nothing bears yet."""
    stem = f"{Path(model).name[:48]}-edited"
    names = [stem, *(f"{stem}-{i}" for i in range(2, 1000))]
    return next((name for name in names if not (root / name).exists()), "")


def file_of(checkpoint: Checkpoint, decisions: Sequence[Decision]) -> str:
    """The decisions as the command `protoexplain edit` reads them."""
    return Decisions(weights_sha256=checkpoint.weights_sha256, decisions=tuple(decisions)).to_yaml()


def _key(checkpoint: Checkpoint, decisions: tuple[Decision, ...], out: Path | None = None) -> JobKey:
    return JobKey(KIND, (checkpoint.weights_sha256, decisions, out))
