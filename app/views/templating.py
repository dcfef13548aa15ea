"""The templates, which escape every name and text, and how numbers and names are written in them."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from app.address import query
from protoexplain.errors import UserError
from protoexplain.report.numbers import amount, figure, ordinal, percent, readable, signed

_templates = Environment(
    loader=PackageLoader("app"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


def page(template: str, **values: object) -> str:
    """Fill a template."""
    return _templates.get_template(template).render(values)


def loading(what: str) -> str:
    return page("message.html", kind="status", what=what, fix="")


def refusal(error: UserError) -> str:
    """A user's mistake in words: what is wrong, and what to do."""
    return page("message.html", kind="alert", what=sentence(error.what), fix=sentence(error.fix))


def breakdown() -> str:
    """For errors that are ours."""
    return page(
        "message.html",
        kind="alert",
        what="Something went wrong in the program; the details are in its log.",
        fix="Try another picture, or reload the page.",
    )


def sentences(error: UserError) -> str:
    """What is wrong and what to do, as text."""
    return f"{sentence(error.what)} {sentence(error.fix)}".strip()


def sentence(text: str) -> str:
    text = text.strip()
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}" if text else ""


_templates.filters.update(
    percent=percent,
    amount=amount,
    figure=figure,
    signed=signed,
    ordinal=ordinal,
    readable=readable,
    query=query,
    sentence=sentence,
)
