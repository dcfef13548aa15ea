"""What a run writes down while it goes on: metrics.jsonl and TensorBoard."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from protoexplain.io.atomic import write_errors, write_file

LOG_FILE = "metrics.jsonl"


class RunLog:
    """Appends one JSON object per epoch or event to metrics.jsonl, and its numbers to TensorBoard.

    Args:
        folder: The run's folder.
        keep: Number of lines of an earlier attempt that stay; later ones are cut off.
    """

    def __init__(self, folder: Path, keep: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / LOG_FILE
        lines = self.path.read_text(encoding="utf-8").splitlines()[:keep] if self.path.exists() else []
        write_file(self.path, "".join(f"{line}\n" for line in lines))
        self.lines = len(lines)
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=self.lines, max_queue=100)

    def write(self, entry: Mapping[str, object]) -> None:
        """Append an entry; numbers that are not finite become null.

        Raises:
            UserError: It cannot be written.
        """
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in entry.items()}
        with write_errors(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(clean) + "\n")
        for name, value in clean.items():
            if isinstance(value, float):
                self.board.add_scalar(f"{entry.get('stage', 'run')}/{name}", value, self.lines)
        self.lines += 1

    def close(self) -> None:
        self.board.close()
