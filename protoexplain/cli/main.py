"""The command line.  Heavy libraries are imported inside the commands, so that --help answers at once."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from protoexplain.cli import (
    attribute,
    characteristics,
    checkpoints,
    data,
    explain,
    metrics,
    prototypes,
    show,
    train,
)
from protoexplain.errors import UserError

app = typer.Typer(
    name="protoexplain",
    help="Train image classifiers that say 'this looks like that', and check whether it is true.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
for module in (train, explain, prototypes, attribute, characteristics, metrics, checkpoints, show):
    module.register(app)


def main() -> None:
    """Run a command; the user's mistakes are told in three lines and exit with 2."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        app()
    except UserError as error:
        console.print(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("interrupted")
        sys.exit(130)
