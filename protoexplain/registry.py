"""Entries by file name: a file in a folder publishes one object, and its name is the name of the entry."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Generic, TypeVar

from protoexplain.errors import UserError, nearest_name

Entry = TypeVar("Entry")


def installed(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group by name, as packages declare them; nothing is imported."""
    return {point.name: point for point in entry_points(group=group)}


@dataclass(frozen=True)
class Registry(Generic[Entry]):
    """The entries of a package, and those of installed packages.

    Args:
        package: Its modules are the built-in entries.
        published: What each module calls its entry.
        group: Entry points by which other packages join.
        kind: One word for an entry, for errors.
        where: Where names of entries are given, for errors.
    """

    package: ModuleType
    published: str
    group: str
    kind: str
    where: str

    def names(self) -> list[str]:
        """Built-in entries, then those of installed packages; nothing is imported."""
        return self._built_in + sorted(installed(self.group).keys() - self._built_in)

    def find(self, name: str) -> Entry:
        """Import the one file of an entry; a built-in one wins over an installed one of the same name.

        Raises:
            UserError: No entry of that name; says which was probably meant.
        """
        if name in self._built_in:
            module = importlib.import_module(f"{self.package.__name__}.{name}")
            entry: Entry = getattr(module, self.published)
            return entry
        if name in (others := installed(self.group)):
            joined: Entry = others[name].load()
            return joined
        raise UserError(f"unknown {self.kind} '{name}'", self.where, nearest_name(name, self.names()))

    @cached_property
    def _built_in(self) -> list[str]:
        return sorted(module.name for module in pkgutil.iter_modules(self.package.__path__))
