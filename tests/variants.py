"""Families with an option that changes how they compare, under names of their own, so that they keep the contract."""

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from protoexplain import registry
from protoexplain.models.families import shallow_cbc
from protoexplain.models.registry import FAMILIES


def _of(family, **options):
    return replace(family, tiny={**family.tiny, **options})


VARIANTS = {
    "shallow_cbc_encoder": _of(shallow_cbc.FAMILY, components=3, encoder=True),
    "shallow_cbc_subspaces": _of(shallow_cbc.FAMILY, subspace_dimension=2),
}
"""Name -> family."""


@contextmanager
def also_known(families):
    """Inside, these families {name: family} are known as if a package had brought them."""
    points = [SimpleNamespace(name=name, load=lambda family=family: family) for name, family in families.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "entry_points", lambda group: points if group == FAMILIES.group else [])
        yield
