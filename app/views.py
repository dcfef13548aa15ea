"""View models to HTML.  Every name and text is escaped by the templates."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from app.case import Case, Facts
from app.state import Broken, Listed
from protoexplain.errors import UserError
from protoexplain.explain.local import Prediction
from protoexplain.models.registry import get_family

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


def readable(class_name: str) -> str:
    """`012.Yellow_headed_Blackbird` -> `Yellow headed Blackbird`."""
    number, dot, rest = class_name.partition(".")
    return (rest if dot and number.isdigit() and rest else class_name).replace("_", " ")


_templates.filters.update(percent=percent, amount=amount, readable=readable)


def _page(name: str, **values: object) -> str:
    return _templates.get_template(name).render(values)


def intro() -> str:
    """Title, what is seen here in three sentences, and the help texts that the page's question marks open."""
    return _page("intro.html")


def facts(shown: Facts) -> str:
    return _page("facts.html", facts=shown)


def titles(listed: Sequence[Listed]) -> list[tuple[str, str]]:
    """Labels of the list of checkpoints, and their names; the folder is told where families repeat."""
    families = [get_family(entry.checkpoint.config.family).title for entry in listed]
    return [
        (title if families.count(title) == 1 else f"{title} ({entry.name})", entry.name)
        for title, entry in zip(families, listed, strict=True)
    ]


def broken(found: Sequence[Broken]) -> str:
    """Checkpoints that cannot be used, with the reason; empty where there are none."""
    return _page("broken.html", broken=found) if found else ""


def case(shown: Case) -> str:
    """The whole picture and the verdict."""
    return _page("case.html", case=shown)


def answer(shown: Case) -> str:
    """Why, or why not: the rows and their sum."""
    return _page("answer.html", case=shown)


def loading(what: str) -> str:
    return _page("message.html", kind="status", what=what, fix="")


def refusal(error: UserError) -> str:
    """A user's mistake in words: what is wrong, and what to do."""
    return _page("message.html", kind="alert", what=_sentence(error.what), fix=_sentence(error.fix))


def sentences(error: UserError) -> str:
    """What is wrong and what to do, as text."""
    return f"{_sentence(error.what)} {_sentence(error.fix)}".strip()


def breakdown() -> str:
    """For errors that are ours."""
    return _page(
        "message.html",
        kind="alert",
        what="Something went wrong in the program; the details are in its log.",
        fix="Try another picture, or reload the page.",
    )


def predictions_heading() -> str:
    return _page("predictions.html")


def choices(predictions: Sequence[Prediction]) -> list[tuple[str, int]]:
    """Labels of the list of classes, and their values."""
    return [(f"{readable(entry.name)} · {percent(entry.probability)}", entry.label) for entry in predictions]


def bars(predictions: Sequence[Prediction]) -> str:
    """A style sheet that draws the probabilities behind the list of classes."""
    return _page("bars.html", predictions=predictions)


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}" if text else ""
