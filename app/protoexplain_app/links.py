"""What a link to the app says: `?model=planted-cbc&image=...&tab=prototypes&prototype=17`.

Three parameters are shared; all others belong to the tab, which reads them itself.  Whatever comes in is untrusted:
what cannot be a parameter of ours is left out here, what names nothing is refused where it is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

MODEL, IMAGE, TAB = "model", "image", "tab"
LONGEST_QUERY, LONGEST_VALUE, MOST_PARAMETERS = 4000, 500, 20

Parameters = Mapping[str, str]
"""Of the query of an address or a form: name -> value."""


@dataclass(frozen=True)
class Address:
    """Empty where the link says nothing about it.

    Args:
        model: Name of a checkpoint.
        image: Key of an example.
        tab: Name of a tab.
        parameters: Of the tab, as pairs.
    """

    model: str = ""
    image: str = ""
    tab: str = ""
    parameters: tuple[tuple[str, str], ...] = ()

    def of(self, tab: str) -> Parameters:
        """The parameters for a tab."""
        return dict(self.parameters) if self.tab == tab else {}


def parse(query: str) -> Address:
    """Read the query of an address; of parameters that repeat the last counts."""
    try:
        pairs = parse_qsl(query[:LONGEST_QUERY].removeprefix("?"), max_num_fields=MOST_PARAMETERS, errors="strict")
    except ValueError:
        return Address()
    parameters = {name: value for name, value in pairs if name.isidentifier() and _plain(value)}
    shared = {name: parameters.pop(name, "") for name in (MODEL, IMAGE, TAB)}
    return Address(**shared, parameters=tuple(parameters.items()))


def form_parameters(query: str) -> Parameters:
    """The parameters that a form of a tab says; the three shared ones are left out."""
    return dict(parse(query).parameters)


def encode(parameters: Mapping[str, object]) -> str:
    """The parameters as a part of an address; empty ones are left out."""
    return urlencode({name: value for name, value in parameters.items() if value != "" and value is not None})


def number(parameters: Parameters, name: str) -> int | None:
    """A parameter that should be a number from 0 on; None where it is missing or none."""
    text = parameters.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _plain(value: str) -> bool:
    return len(value) <= LONGEST_VALUE and value.isprintable()
