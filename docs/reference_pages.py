"""Pages that are made from the code: all commands with their options, and all keys of a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer

import protoexplain
from protoexplain.cli.main import app as command_line
from protoexplain.config import DataConfig, TrainingConfig
from protoexplain.models.registry import family_names, get_family

MADE = "<!-- made from the code when the site is built -->"
"""Stands in a page for what this module writes."""


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}


def _fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Write commands or keys into their page.

    Raises:
        ExtensionError: The page of Python names lacks a public one.
    """
    if page == "reference/cli":
        source[0] = source[0].replace(MADE, "\n".join(commands("", typer.main.get_command(command_line))))
    elif page == "reference/configuration":
        source[0] = source[0].replace(MADE, "\n".join(configuration()))
    elif page == "reference/python":
        told = {line.rpartition(":: ")[2] for line in source[0].splitlines() if line.startswith(".. auto")}
        if missing := set(protoexplain.__all__) - told:
            raise ExtensionError(f"{page}.md lacks {', '.join(sorted(missing))}")


def commands(name: str, command: Any) -> Iterator[str]:  # noqa: ANN401 - typer does not publish this class
    """A section for each command, in the order of --help; their groups are only part of the names."""
    for part, inner in getattr(command, "commands", {}).items():
        yield from commands(f"{name} {part}".strip(), inner)
    if hasattr(command, "commands"):
        return
    context = typer.Context(command, info_name=f"protoexplain {name}")
    usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
    yield f"\n## {name}\n\n{' '.join(command.help.split())}\n\n```text\n{usage}\n```\n"
    yield "| argument or option | meaning |\n|---|---|"
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            yield f"| {_code(record[0])} | {_cell(record[1])} |"


def configuration() -> Iterator[str]:
    """A table for each part of a configuration: data, training, then model and schedule of each family."""
    for prefix, schema in (("data", DataConfig), ("training", TrainingConfig)):
        yield f"\n## {prefix}\n"
        yield from _table(prefix, schema)
    for name in family_names():
        family = get_family(name)
        yield f"\n## {family.title}\n\n`family: {name}`. {family.paper}.\n"
        yield from _table("model", family.config)
        yield ""
        yield from _table("schedule", family.schedule)


def _table(prefix: str, schema: type[BaseModel]) -> Iterator[str]:
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    for key, owner, name in _fields(prefix, schema):
        field = owner.model_fields[name]
        default = "" if field.default is PydanticUndefined else _code(repr(field.default))
        annotation = field.annotation
        plain = isinstance(annotation, type) and not hasattr(annotation, "__args__")
        type_ = annotation.__name__ if plain and annotation else str(annotation).replace("typing.", "")
        yield f"| {_code(key)} | {_cell(type_)} | {default} | {_cell(_documented(owner, name))} |"


def _fields(prefix: str, schema: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel], str]]:
    """(dotted key, class, field) of all values, those of nested settings too."""
    for name, field in schema.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from _fields(f"{prefix}.{name}", type(field.default))
        else:
            yield f"{prefix}.{name}", schema, name


def _documented(schema: type[BaseModel], name: str) -> str:
    """The text below a field, in the class that declares it."""
    for base in schema.__mro__:
        if base.__module__ != "builtins":
            documented = ModuleAnalyzer.for_module(base.__module__).find_attr_docs()
            if text := documented.get((base.__name__, name)):
                return " ".join(text)
    return ""


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
