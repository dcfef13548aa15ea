"""Templates that escape every name and text, and how they write numbers and names."""

from __future__ import annotations

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined

from protoexplain.view.numbers import amount, figure, percent, readable, signed


def escaping(package: str) -> Environment:
    """The templates of a package, and the shared ones below ``view/``; an unknown name in one is an error."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PrefixLoader({"view": PackageLoader("protoexplain.view")})]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(percent=percent, amount=amount, figure=figure, signed=signed, readable=readable)
    return environment
