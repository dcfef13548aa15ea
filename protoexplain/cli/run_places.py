"""What `protoexplain app` opens: the newest run in a folder of runs, or the newest one of a data set."""

from __future__ import annotations

from pathlib import Path

from protoexplain.errors import UserError

RUNS = Path("runs")
"""Where `protoexplain train` puts runs."""


def models_and_data(place: Path) -> tuple[Path, Path | None]:
    """The folder of the checkpoints to open, and the data that they were trained on where the run tells.

    Args:
        place: A run, a checkpoint, a folder of these, or a data set that a run in `RUNS` was trained on.

    Raises:
        UserError: There is no such folder, or no checkpoint for it.
    """
    from protoexplain.checkpoint.folders import find_checkpoints
    from protoexplain.training.run_folder import data_of_run

    if not place.is_dir():
        raise UserError("there is no such folder", str(place), "give a run, a folder of runs, or a data set")
    runs = {_run_of(path) for path in find_checkpoints(place)}
    if not runs:
        trained = {_run_of(path) for path in find_checkpoints(RUNS)}
        runs = {run for run in trained if (data := data_of_run(run)) and data.resolve() == place.resolve()}
    if not runs:
        raise UserError("no model was trained on it, and none lies in it", str(place), f"protoexplain train {place}")
    newest = max(runs, key=lambda run: run.stat().st_mtime)
    return newest, data_of_run(newest)


def _run_of(checkpoint: Path) -> Path:
    """The folder of the run that made a checkpoint; itself where it lies elsewhere."""
    from protoexplain.training.run_folder import CONFIG

    return checkpoint.parent if (checkpoint.parent / CONFIG).is_file() else checkpoint
