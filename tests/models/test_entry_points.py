"""A family of another package joins by its entry point, as if it were built in."""

from types import SimpleNamespace

import pytest

from protoexplain import registry
from protoexplain.config import parse
from protoexplain.errors import UserError
from protoexplain.models.families import protopnet
from protoexplain.models.registry import FAMILIES, family_names, get_family


def test_family_of_another_package_joins_by_its_entry_point(monkeypatch):
    point = SimpleNamespace(name="guest", load=lambda: protopnet.FAMILY)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == FAMILIES.group else [])
    assert "guest" in family_names()
    assert get_family("guest") is protopnet.FAMILY
    config = parse({"family": "guest", "model": {"prototypes_per_class": 3}})
    assert config.family == "guest"
    assert config.model.prototypes_per_class == 3
    with pytest.raises(UserError, match="did you mean 'guest'"):
        get_family("guset")
