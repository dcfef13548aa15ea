"""Entries by file name: a file in a folder publishes one object, and its name is the name of the entry."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import ModuleType
from typing import Generic, TypeVar

from protoexplain.errors import UserError, nearest_name

Entry = TypeVar("Entry")


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
        built_in = sorted(module.name for module in pkgutil.iter_modules(self.package.__path__))
        return built_in + sorted(point.name for point in entry_points(group=self.group))

    def find(self, name: str) -> Entry:
        """Import the one file of an entry.

        Raises:
            UserError: No entry of that name; says which was probably meant.
        """
        if name not in self.names():
            raise UserError(f"unknown {self.kind} '{name}'", self.where, nearest_name(name, self.names()))
        for point in entry_points(group=self.group):
            if point.name == name:
                joined: Entry = point.load()
                return joined
        module = importlib.import_module(f"{self.package.__name__}.{name}")
        entry: Entry = getattr(module, self.published)
        return entry
