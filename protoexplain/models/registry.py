"""Families by file name: `families/st_protopnet.py` is the family `st_protopnet`."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points

from protoexplain.errors import UserError, nearest_name
from protoexplain.models import families
from protoexplain.models.base import Family

ENTRY_POINTS = "protoexplain.families"


def family_names() -> list[str]:
    """Built-in families, then those of installed packages."""
    built_in = sorted(module.name for module in pkgutil.iter_modules(families.__path__))
    return built_in + sorted(point.name for point in entry_points(group=ENTRY_POINTS))


def get_family(name: str) -> Family:
    """Import the one file of a family.

    Raises:
        UserError: No family of that name; says which was probably meant.
    """
    if name not in family_names():
        raise UserError(f"unknown family '{name}'", "family", nearest_name(name, family_names()))
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            family: Family = point.load()
            return family
    module = importlib.import_module(f"{families.__name__}.{name}")
    published: Family = module.FAMILY
    return published
