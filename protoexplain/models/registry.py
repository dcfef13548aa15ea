"""Families by the name of their file or folder: `families/st_protopnet/` is the family `st_protopnet`."""

from __future__ import annotations

from protoexplain.models import families
from protoexplain.models.family import Family
from protoexplain.registry import Registry

FAMILIES = Registry[Family](families, "FAMILY", "protoexplain.families", "family", "family")


def family_names() -> list[str]:
    """Built-in families, then those of installed packages."""
    return FAMILIES.names()


def get_family(name: str) -> Family:
    """Import the one file of a family.

    Args:
        name: As `list_families` gives it.

    Returns:
        Its title, paper, configuration, schedule, and how its models are built.

    Raises:
        UserError: No family of that name; says which was probably meant.

    Example:
        >>> import protoexplain as px
        >>> px.get_family("protopnet").title
        'ProtoPNet'
    """
    return FAMILIES.find(name)
