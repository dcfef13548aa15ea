"""`protoexplain export`: a checkpoint as one file that other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protoexplain.cli.arguments import CheckpointFolder
from protoexplain.cli.output import Json, print_json, say


def register(app: typer.Typer) -> None:
    app.command()(export)


def export(
    checkpoint: CheckpointFolder,
    to: Annotated[Path, typer.Option("--to", help="New file: .onnx (ONNX), or .pt2 (torch.export).")],
    as_json: Json = False,
) -> None:
    """Write the network as ONNX or for torch.export: images -> class scores, probabilities, activations, maps.

    The file is run and compared with the model before it is written.
    """
    from protoexplain.checkpoint.checkpoint import Checkpoint
    from protoexplain.exporting.run import export as export_checkpoint

    made = export_checkpoint(Checkpoint.load(checkpoint), to)
    if as_json:
        told = {"outputs": made.outputs, "difference": made.difference, "about": made.about}
        print_json({"file": str(made.path), "format": made.format, **told})
        return
    for name, shape in made.outputs.items():
        say(f"{name}: {' x '.join(map(str, shape))}")
    say(f"largest difference from the model, on pictures of noise: {made.difference:.1g}")
    say(f"{made.format}: {made.path} ({made.path.stat().st_size / 1e6:.1f} MB)")
