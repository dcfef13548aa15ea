"""A model of another program, loaded by way of a checkpoint that is as short-lived as the loaded model."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from protoexplain.api.loaded import LoadedModel
from protoexplain.importing.run import import_model
from protoexplain.io.scratch import remove_scratch


def load_foreign(
    source: Path,
    device: str,
    classes: Sequence[str] | None,
    data: str | Path | None,
    family: str | None,
    assignments: Sequence[str],
) -> LoadedModel:
    """Import into a temporary folder and load; arguments as of `load`.

    Raises:
        UserError: As `import_model`.
    """
    folder = Path(tempfile.mkdtemp(prefix="protoexplain-"))
    try:
        found = import_model(
            source,
            folder / "model",
            code=family,
            classes=classes,
            data=None if data is None else Path(data),
            assignments=assignments,
            device=device,
        )
        model = LoadedModel(found.checkpoint, device)
    except BaseException:
        remove_scratch(folder)
        raise
    weakref.finalize(model, remove_scratch, folder)
    return model
