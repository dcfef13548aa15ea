"""Templates that escape every name and text, and how they write numbers and names."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined

from protoexplain.class_names import readable
from protoexplain.view.numbers import amount, figure, percent, signed


def escaping(package: str, folder: str = "templates") -> Environment:
    """The templates in a folder of a package, the shared ones below ``view/``; an unknown name in one is an error."""
    shared = PrefixLoader({"view": PackageLoader("protoexplain.view")})
    environment = Environment(
        loader=ChoiceLoader([shared, PackageLoader(package, folder)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(percent=percent, amount=amount, figure=figure, signed=signed, readable=readable)
    return environment
