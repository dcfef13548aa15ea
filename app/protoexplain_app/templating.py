"""The templates, which escape every name and text, and how numbers and names are written in them."""

from __future__ import annotations

import base64

from protoexplain.errors import UserError
from protoexplain.view.numbers import ordinal
from protoexplain.view.templating import escaping
from protoexplain_app.links import encode

_templates = escaping(__package__, "")


def page(template: str, **values: object) -> str:
    """Fill a template."""
    return _templates.get_template(template).render(values)


def loading(what: str) -> str:
    return page("theme/message.html", kind="status", what=what, fix="")


def error_message(error: UserError) -> str:
    """A user's mistake in words: what is wrong, and what to do."""
    return page("theme/message.html", kind="alert", what=sentence(error.what), fix=sentence(error.fix))


def internal_error() -> str:
    """For errors that are ours."""
    return page(
        "theme/message.html",
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


def data_uri(text: str, kind: str) -> str:
    """A file that the page carries along, as an address; `kind` is its media type."""
    return f"data:{kind};charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"


_templates.filters.update(ordinal=ordinal, query=encode, sentence=sentence)
