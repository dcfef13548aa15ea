"""Everything that a run needs to go on where it stopped: bit for bit on a CPU, nearly so on an accelerator.

The order of images and their random changes depend on seeds and epoch numbers alone, so the state is small: the
place in the schedule, weights, optimizers, random generators, and the best weights so far.
"""

from __future__ import annotations

import io
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.io.atomic import write_file
from protoexplain.models.base import PrototypeModel
from protoexplain.training.engine import EpochSums
from protoexplain.training.projection import BestPatches

STATE_FILE = "state.pt"


@dataclass
class Snapshot:
    """Weights worth keeping.

    Args:
        weights: State dict on the CPU.
        patches: Where the prototypes lie, by branch; empty where they lie on no patch.
        proof: Prototypes as they were before projection, by branch name; named as in the saved state.
        accuracy: On the validation images, NaN without them.
        place: Stage and epoch, for people.
    """

    weights: dict[str, Tensor]
    patches: list[BestPatches]
    proof: dict[str, Tensor]
    accuracy: float
    place: str


@dataclass
class RunState:
    """Place in the schedule and what came out so far.

    Args:
        stage: Index of the stage that runs.
        epoch: Finished epochs of it.
        sums: Of the steps of the running epoch.
        started: Whether the first model has its first values.
        epochs_done: Stage name -> epochs trained under it.
        optimizers: Stage name -> state dict.
        patches: Where the prototypes lie now; empty if they moved since.
        proof: Prototypes before the last projection, by branch name; named as in the saved state.
        merged: int64 [P], the prototype that each was merged into or gave way to; None where all are left.
        gives_way: int64 [P], the prototype that takes the place of each before the first projection; None once it has.
        merging_done: Whether those with correlated activations were merged.
        best: Best eligible weights by validation accuracy.
        probe: What a linear probe on the backbone gave before training, as JSON values.
        projections: One row per projection with accuracies before and after.
        log_lines: Lines of the log that belong to this state.
        seconds: Time spent so far.
    """

    stage: int = 0
    epoch: int = 0
    sums: EpochSums = field(default_factory=EpochSums)
    started: bool = False
    epochs_done: dict[str, int] = field(default_factory=dict)
    optimizers: dict[str, Any] = field(default_factory=dict)
    patches: list[BestPatches] = field(default_factory=list)
    proof: dict[str, Tensor] = field(default_factory=dict)
    merged: Tensor | None = None
    gives_way: Tensor | None = None
    merging_done: bool = False
    best: Snapshot | None = None
    probe: dict[str, Any] | None = None
    projections: list[dict[str, Any]] = field(default_factory=list)
    log_lines: int = 0
    seconds: float = 0.0


def weights_of(model: PrototypeModel) -> dict[str, Tensor]:
    """A copy of the state dict on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def save_state(folder: Path, state: RunState, model: PrototypeModel, run_id: str) -> None:
    """Write the state atomically; `run_id` names configuration and data."""
    plain = {f.name: getattr(state, f.name) for f in fields(RunState) if f.name not in ("sums", "patches", "best")}
    content = {
        **plain,
        "sums": asdict(state.sums),
        "patches": _plain(state.patches),
        "best": None if state.best is None else {**vars(state.best), "patches": _plain(state.best.patches)},
        "weights": model.state_dict(),
        "random": _random_states(),
        "run_id": run_id,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_file(folder / STATE_FILE, buffer.getvalue())


class StateSaver:
    """Saves the state of a run; called with True at once, else if the last time is long ago.

    Args:
        folder: Of the run.
        state: Grows while the run goes on; knows from each call how long the run has taken.
        models: What each stage trains.
        run_id: Names configuration and data.
        every: Seconds between saved states.
    """

    def __init__(
        self, folder: Path, state: RunState, models: Sequence[PrototypeModel], run_id: str, every: float
    ) -> None:
        self.folder, self.state, self.models, self.run_id, self.every = folder, state, models, run_id, every
        self._saved = time.perf_counter()
        self._started = self._saved - state.seconds

    def __call__(self, now: bool) -> None:
        time_now = time.perf_counter()
        self.state.seconds = time_now - self._started
        if now or time_now - self._saved > self.every:
            save_state(self.folder, self.state, self.models[self.state.stage], self.run_id)
            self._saved = time.perf_counter()


def load_state(folder: Path, models: Sequence[PrototypeModel], run_id: str) -> RunState:
    """Read the state and put weights and random generators back.

    Args:
        folder: Of the run.
        models: What each stage trains; that of the saved stage gets the weights.
        run_id: Names configuration and data.

    Raises:
        UserError: The file is damaged, or belongs to another configuration or data set.
    """
    path = folder / STATE_FILE
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("run_id") == run_id:
            return _restored(content, models)
    except Exception as error:  # whatever a damaged file, or that of another version, leads to
        raise UserError(f"the state of the run cannot be read: {error}", str(path), "start the run anew") from error
    raise UserError(
        "configuration or data changed since the run was interrupted", str(path), "start anew in another folder"
    )


def _restored(content: dict[str, Any], models: Sequence[PrototypeModel]) -> RunState:
    """Put weights and random generators back; what is left tells where to go on."""
    model = models[content["stage"]]
    if content.get("merged") is not None:
        model.merge(content["merged"])
    model.load_state_dict(content.pop("weights"))
    _restore_random_states(content.pop("random"))
    best = content.pop("best")
    return RunState(
        **{
            **content,
            "sums": EpochSums(**content["sums"]),
            "patches": _patches(content["patches"]),
            "best": None if best is None else Snapshot(**{**best, "patches": _patches(best["patches"])}),
        }
    )


def _plain(patches: list[BestPatches]) -> list[dict[str, Tensor]]:
    return [vars(found) for found in patches]


def _patches(plain: list[Mapping[str, Tensor]]) -> list[BestPatches]:
    return [BestPatches(**found) for found in plain]


def _random_states() -> dict[str, Any]:
    version, internal, gauss = random.getstate()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda, "python": [version, list(internal), gauss]}


def _restore_random_states(states: Mapping[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
