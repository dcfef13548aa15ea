"""The command line.  Heavy libraries are imported inside the commands, so that --help answers at once."""

from __future__ import annotations

import io
import sys
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from protoexplain import __version__
from protoexplain.cli import (
    attribute,
    characteristics,
    checkpoints,
    data,
    explain,
    exporting,
    importing,
    logs,
    metrics,
    prototypes,
    report,
    show,
    train,
)
from protoexplain.cli.output import command_line, say
from protoexplain.errors import UserError

app = typer.Typer(
    name="protoexplain",
    help="Train image classifiers that say 'this looks like that', and check whether it is true.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"protoexplain {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", "-V", is_eager=True, callback=_version, help="Print the version and stop.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say on standard error what is done, and when.")
    ] = False,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="As --verbose, with one JSON object a line, for programs.")
    ] = False,
) -> None:
    """Options of all commands; they stand before the command."""
    logs.set_up(verbose, log_json)
    logs.log.info("protoexplain %s: %s", __version__, command_line())


app.add_typer(data.app, name="data")
_MODULES = (
    train,
    explain,
    prototypes,
    attribute,
    characteristics,
    metrics,
    report,
    checkpoints,
    importing,
    exporting,
    show,
)
for module in _MODULES:
    module.register(app)


_Unreadable: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""Raised for a command line that cannot be read; typer has no public name for it."""
_INTERRUPTED = 130
"""The exit code, as shells give it."""


def main() -> None:
    """Run a command; the user's mistakes are told in three lines, or in one JSON object if asked, and exit with 2."""
    as_json = "--log-json" in sys.argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may hold what a terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=not as_json)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt  # typer has caught it
        sys.exit(code)
    except UserError as error:
        _end(str(error), 2, "error: ")
    except OSError as error:  # such as a name that is too long, in any of the many places that look for files
        logs.log.info("the system says", exc_info=True)
        _end(str(UserError(f"the system says: {error.strerror or error}", str(error.filename or ""))), 2, "error: ")
    except UnicodeEncodeError as error:
        what = f"a name is no text: {ascii(error.object)[:200]}"
        _end(str(UserError(what, "", "rename the file or folder")), 2, "error: ")
    except _Unreadable as error:  # only where typer does not tell it itself
        logs.set_up(False, as_json)
        _end(error.format_message(), error.exit_code)  # type: ignore[attr-defined]
    except KeyboardInterrupt:
        _end("interrupted", _INTERRUPTED)


def _end(why: str, code: int, before: str = "") -> NoReturn:
    if logs.as_json():
        logs.log.error("%s", why)
    else:
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(before + why)
    sys.exit(code)
