"""Edits of models, tried in the background: the pictures are looked at once for each model, refits are remembered.

What is kept belongs to the weights of a checkpoint and to decisions, not to a visitor, so visitors who decide the
same share one answer; what somebody decided, nobody else is told.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.courtesy import Courtesy
from app.examples import Examples
from protoexplain.errors import UserError
from protoexplain.io.checkpoint import Checkpoint
from protoexplain.training.editing.bench import Bench, open_bench
from protoexplain.training.editing.decisions import Decision
from protoexplain.training.editing.edit import carry_out, refit
from protoexplain.training.editing.report import Report, report
from protoexplain.training.editing.save import EditResult, save

log = logging.getLogger(__name__)
KEPT_BENCHES, KEPT_TRIALS = 2, 100

Key = tuple[str, tuple[Decision, ...]]


@dataclass(frozen=True)
class Trial:
    """What is known of an edit, or how far it is.

    Args:
        report: Before and after the refit.
        what: Is being done now; empty where nothing is.
        done: Of it.
        total: Of it.
        trouble: Why there is no report, in a sentence.
    """

    report: Report | None = None
    what: str = ""
    done: int = 0
    total: int = 1
    trouble: str = ""


class Workshops:
    """Benches of the models that were edited last, and what came of trials; may be used from any thread.

    Args:
        examples: Knows the data set.
        courtesy: Gives way to visitors.
        device: Where models look at pictures.
    """

    def __init__(self, examples: Examples, courtesy: Courtesy, device: str = "cpu") -> None:
        self.examples, self.courtesy, self.device = examples, courtesy, device
        self._benches: OrderedDict[str, Bench] = OrderedDict()
        self._trials: OrderedDict[Key, Trial] = OrderedDict()
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def known(self, checkpoint: Checkpoint, decisions: tuple[Decision, ...]) -> Trial:
        """What is known without asking."""
        with self._lock:
            return self._trials.get((checkpoint.weights_sha256, decisions), Trial())

    def ask(self, checkpoint: Checkpoint, decisions: tuple[Decision, ...] = ()) -> Trial:
        """What is known now; where it is nothing, the edit is tried in the background.

        Without decisions it makes sure of a bench.
        """
        key = (checkpoint.weights_sha256, decisions)
        with self._lock:
            known, bench = self._trials.get(key, Trial()), self._benches.get(checkpoint.weights_sha256)
            if known.what or (known.report is not None and (decisions or bench is not None)):
                return known
            trial = self._trials[key] = Trial(what="waiting for other work to be done")
        threading.Thread(target=self._run, args=(checkpoint, decisions, key), daemon=True).start()
        return trial

    def bench(self, checkpoint: Checkpoint) -> Bench | None:
        """Of a model whose pictures were looked at."""
        with self._lock:
            return self._benches.get(checkpoint.weights_sha256)

    def save(self, checkpoint: Checkpoint, decisions: Sequence[Decision], out: Path) -> EditResult:
        """Carry decisions out once more, and write the new checkpoint.

        Raises:
            UserError: They cannot be carried out, or the checkpoint cannot be written.
        """
        with self._turn:
            bench = self._opened(checkpoint, (checkpoint.weights_sha256, tuple(decisions)))
            edited = carry_out(bench, decisions)
            found = report(bench, carry_out(bench, ()), edited, refit(bench, edited))
            command = f"protoexplain edit {checkpoint.path.name} --decisions FILE --data DATA --out {out.name}"
            return save(bench, edited, found, out, command)

    def _run(self, checkpoint: Checkpoint, decisions: tuple[Decision, ...], key: Key) -> None:
        try:
            with self._turn:
                bench = self._opened(checkpoint, key)
                edited = carry_out(bench, decisions)
                epochs = refit(bench, edited, watcher=_Watcher(self, key)) if decisions else 0
                self._note(key, Trial(report(bench, carry_out(bench, ()), edited, epochs)))
        except UserError as error:
            self._note(key, Trial(trouble=f"{error.what}; {error.fix}" if error.fix else error.what))
        except Exception:
            log.exception("trying an edit failed")
            self._note(key, Trial(trouble="something went wrong in the program; the details are in its log"))

    def _opened(self, checkpoint: Checkpoint, key: Key) -> Bench:
        """The bench of a checkpoint; the pictures are looked at where that was not done yet."""
        with self._lock:
            bench = self._benches.get(checkpoint.weights_sha256)
        if bench is None:
            folder = self.examples.folder
            if folder is None:
                raise UserError("there is no data set", "", "start the app with --data FOLDER")
            watcher = _Watcher(self, key)
            bench = open_bench(
                checkpoint,
                folder,
                lambda done, total: watcher.progress("looking at all pictures", done, total),
                self.device,
            )
        with self._lock:
            self._benches[checkpoint.weights_sha256] = bench
            self._benches.move_to_end(checkpoint.weights_sha256)
            while len(self._benches) > KEPT_BENCHES:
                self._benches.popitem(last=False)
        return bench

    def _note(self, key: Key, trial: Trial) -> None:
        with self._lock:
            self._trials[key] = trial
            finished = [known for known, one in self._trials.items() if not one.what]
            for known in finished[: max(len(self._trials) - KEPT_TRIALS, 0)]:
                del self._trials[known]


class _Watcher:
    """Notes how far a trial is, and gives way to visitors."""

    def __init__(self, workshops: Workshops, key: Key) -> None:
        self._workshops, self._key = workshops, key

    def progress(self, what: str, done: int, total: int) -> None:
        self._workshops.courtesy.give_way()
        self._workshops._note(self._key, Trial(what=what, done=done, total=total))

    def line(self, text: str) -> None:
        pass
