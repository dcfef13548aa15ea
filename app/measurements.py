"""Metrics of models, measured in the background on request: one after the other, with progress, and resumable.

Results are added to the checkpoint; where that cannot be written, they are kept in a folder of the user's cache.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from app.courtesy import Courtesy
from app.examples import Examples
from protoexplain.errors import UserError
from protoexplain.io.atomic import require_writable, write_file
from protoexplain.io.cache import cache_folder
from protoexplain.io.checkpoint import Checkpoint, add_metrics
from protoexplain.io.manifest import MAX_JSON_BYTES, read_limited
from protoexplain.io.model_card import INTERPRETABILITY
from protoexplain.metrics.base import MetricResult, Need
from protoexplain.metrics.images import Images
from protoexplain.metrics.kept import kept_results
from protoexplain.metrics.needs import lacking
from protoexplain.metrics.runner import measure
from protoexplain.training.fabric import make_fabric

log = logging.getLogger(__name__)
BATCH = 8
"""Small batches give way to visitors sooner."""
State = Literal["waiting", "running", "finished", "cancelled", "failed"]


@dataclass(frozen=True)
class Job:
    """A measurement that was asked for.

    Args:
        names: The metrics.
        state: What became of it.
        what: What is being done.
        done: Pieces of that.
        total: All of its pieces; 0 where they are not known yet.
        notes: What was left out, and where the results were kept, one sentence each.
        trouble: Why it failed.
    """

    names: tuple[str, ...]
    state: State = "waiting"
    what: str = ""
    done: int = 0
    total: int = 0
    notes: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def under_way(self) -> bool:
        return self.state in ("waiting", "running")


class CancelledError(Exception):
    """Somebody stopped the measurement."""


class Measurements:
    """What was measured of models, and what is being measured; may be used from any thread.

    Args:
        examples: The data set.
        courtesy: Gives way to visitors.
        folder: Where results and interrupted work are kept; by default a folder of the user's cache.
        device: Where models run.
    """

    def __init__(self, examples: Examples, courtesy: Courtesy, folder: Path | None = None, device: str = "cpu") -> None:
        self.examples, self.courtesy, self.folder = examples, courtesy, folder or cache_folder() / "measurements"
        self.device = device
        self._jobs: dict[str, Job] = {}
        self._stopped: set[str] = set()
        self._kept: dict[str, tuple[int, dict[str, MetricResult]]] = {}
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def results(self, checkpoint: Checkpoint) -> dict[str, MetricResult]:
        """Metric -> result, from the checkpoint and from outside it.

        Raises:
            UserError: The checkpoint's own cannot be read.
        """
        return {**kept_results(checkpoint), **self._outside(checkpoint)}

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
        return lacking(checkpoint, looked_at, None)

    def job(self, checkpoint: Checkpoint) -> Job | None:
        """The last measurement that was asked for since the app started."""
        return self._jobs.get(self._key(checkpoint))

    def start(self, checkpoint: Checkpoint, names: Sequence[str], per_class: int = 0) -> Job:
        """Measure in the background; what is under way for the model goes on instead.

        Args:
            checkpoint: The model.
            names: Metrics.
            per_class: Only so many test images of each class; 0 takes all.

        Raises:
            UserError: As `lacks`, or no metric was named, or there is no place for the work and its results.
        """
        self.lacks(checkpoint)
        if not names:
            raise UserError("no metric was chosen", "", "tick at least one")
        require_writable(self.folder)
        key = self._key(checkpoint)
        with self._lock:
            known = self._jobs.get(key)
            if known is not None and known.under_way:
                return known
            self._stopped.discard(key)
            job = self._jobs[key] = Job(tuple(names), what="waiting for its turn")
        threading.Thread(target=self._run, args=(checkpoint, per_class, key), daemon=True).start()
        return job

    def cancel(self, checkpoint: Checkpoint) -> None:
        """Stop what is under way for a model; started again, it goes on where it was."""
        self._stopped.add(self._key(checkpoint))

    def _run(self, checkpoint: Checkpoint, per_class: int, key: str) -> None:
        folder = self.examples.folder
        assert folder is not None
        try:
            with self._turn:
                watcher = _Watcher(self, key)
                watcher.progress("reading the test images", 0, 0)
                config = checkpoint.config
                alone = replace(
                    checkpoint,
                    config=config.model_copy(update={"data": config.data.model_copy(update={"workers": 0})}),
                )
                results = measure(
                    alone,
                    folder,
                    self._jobs[key].names,
                    {"images_per_class": per_class, "batch_size": BATCH},
                    watcher,
                    kept=self.results(checkpoint),
                    work=self.folder / "work" / key,
                    fabric=make_fabric(self.device),
                )
            self._keep(checkpoint, results)
            self.note(key, state="finished")
        except CancelledError:
            self.note(key, state="cancelled")
        except UserError as error:
            self.note(key, state="failed", trouble=f"{error.what}; {error.fix}" if error.fix else error.what)
        except Exception:
            log.exception("measuring failed")
            self.note(key, state="failed", trouble="the program's log says more")

    def note(self, key: str, **news: Any) -> None:  # noqa: ANN401
        """Remember how far a job is."""
        with self._lock:
            self._jobs[key] = replace(self._jobs[key], **news)

    def remark(self, key: str, text: str) -> None:
        """Remember something worth a line."""
        self.note(key, notes=(*self._jobs[key].notes, text))

    def give_way(self, key: str) -> None:
        """Wait for visitors.

        Raises:
            CancelledError: Somebody stopped the job.
        """
        self.courtesy.give_way()
        if key in self._stopped:
            raise CancelledError

    def _keep(self, checkpoint: Checkpoint, results: Mapping[str, MetricResult]) -> None:
        """Add results to the checkpoint, or keep them beside those that could not be added before."""
        try:
            if Checkpoint.load(checkpoint.path, verify=False).weights_sha256 != checkpoint.weights_sha256:
                raise UserError("the checkpoint has changed meanwhile")
            add_metrics(checkpoint, {INTERPRETABILITY: {name: r.to_dict() for name, r in results.items()}})
            self._file(checkpoint).unlink(missing_ok=True)
        except (UserError, OSError, shutil.Error) as error:
            log.warning("results are kept outside the checkpoint: %s", error)
            both = {**self._outside(checkpoint), **results}
            content = {name: result.to_dict() for name, result in both.items()}
            write_file(self._file(checkpoint), json.dumps(content, allow_nan=False).encode())
            self.remark(
                self._key(checkpoint), "The checkpoint could not be written; the results are in the user's cache."
            )

    def _outside(self, checkpoint: Checkpoint) -> dict[str, MetricResult]:
        """Results that are kept outside a checkpoint; none where the file is damaged."""
        path, key = self._file(checkpoint), self._key(checkpoint)
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            return {}
        known = self._kept.get(key)
        if known is None or known[0] != changed:
            try:
                content = json.loads(read_limited(path, MAX_JSON_BYTES))
                found = {name: MetricResult.from_dict(name, entry) for name, entry in content.items()}
            except (UserError, ValueError, TypeError, AttributeError):
                found = {}
            known = self._kept[key] = (changed, found)
        return known[1]

    def _file(self, checkpoint: Checkpoint) -> Path:
        return self.folder / f"{self._key(checkpoint)}.json"

    def _key(self, checkpoint: Checkpoint) -> str:
        return checkpoint.weights_sha256[:32]


@dataclass(frozen=True)
class _Watcher:
    """Tells how far a measurement is, and stops it."""

    measurements: Measurements
    key: str

    def progress(self, what: str, done: int, total: int) -> None:
        self.measurements.note(self.key, state="running", what=what, done=done, total=total)
        self.measurements.give_way(self.key)

    def line(self, text: str) -> None:
        self.measurements.remark(self.key, text)
