"""The templates, which escape every name and text, and how numbers and names are written in them."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from app.address import query
from protoexplain.errors import UserError

MINUS = "\N{MINUS SIGN}"
_templates = Environment(
    loader=PackageLoader("app"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


def percent(share: float) -> str:
    """A probability: 93.1 %; never 0 % or 100 % where it is not."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def amount(value: float, by_probability: bool, sign: bool = True) -> str:
    """Evidence or a score: +2.31, or +3.1 % where it is measured in probability."""
    digits = f"{100 * value:.1f}" if by_probability else f"{value:.2f}"
    magnitude = digits.lstrip("-")
    negative = digits.startswith("-") and float(magnitude) > 0
    prefix = MINUS if negative else "+" if sign else ""
    return f"{prefix}{magnitude}{' %' if by_probability else ''}"


def figure(value: float) -> str:
    """A number of any size: 0.83, 12.4, 1,830."""
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return digits.replace("-", MINUS)


def signed(value: float) -> str:
    """A number with its sign: +0.83."""
    text = figure(value)
    return text if text.startswith(MINUS) else f"+{text}"


def ordinal(place: int) -> str:
    """1st, 2nd, 3rd, 11th."""
    ending = "th" if 10 <= place % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place:,}{ending}"


def readable(class_name: str) -> str:
    """`012.Yellow_headed_Blackbird` -> `Yellow headed Blackbird`."""
    number, dot, rest = class_name.partition(".")
    return (rest if dot and number.isdigit() and rest else class_name).replace("_", " ")


_templates.filters.update(
    percent=percent, amount=amount, figure=figure, signed=signed, ordinal=ordinal, readable=readable, query=query
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
