"""What a link to the app says: `?model=planted-cbc&image=...&tab=prototypes&prototype=17`.

Three words are shared; all others belong to the tab, which reads them itself.  Whatever comes in is untrusted: what
cannot be a word of ours is left out here, what names nothing is refused where it is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

MODEL, IMAGE, TAB = "model", "image", "tab"
LONGEST_QUERY, LONGEST_VALUE, MOST_WORDS = 4000, 500, 20

Words = Mapping[str, str]


@dataclass(frozen=True)
class Address:
    """Empty where the link says nothing about it.

    Args:
        model: Name of a checkpoint.
        image: Key of an example.
        tab: Name of a tab.
        words: Of the tab, as pairs.
    """

    model: str = ""
    image: str = ""
    tab: str = ""
    words: tuple[tuple[str, str], ...] = ()

    def of(self, tab: str) -> Words:
        """The words for a tab."""
        return dict(self.words) if self.tab == tab else {}


def parse(query: str) -> Address:
    """Read the query of an address; the last of words that repeat counts."""
    try:
        pairs = parse_qsl(query[:LONGEST_QUERY].removeprefix("?"), max_num_fields=MOST_WORDS, errors="strict")
    except ValueError:
        return Address()
    words = {name: value for name, value in pairs if name.isidentifier() and _plain(value)}
    shared = {name: words.pop(name, "") for name in (MODEL, IMAGE, TAB)}
    return Address(**shared, words=tuple(words.items()))


def form_words(query: str) -> Words:
    """The words that a form of a tab says; the three shared ones are left out."""
    return dict(parse(query).words)


def encode(words: Mapping[str, object]) -> str:
    """The words as a part of an address; empty ones are left out."""
    return urlencode({name: value for name, value in words.items() if value != "" and value is not None})


def number(words: Words, name: str) -> int | None:
    """A word that should be a number from 0 on; None where it is missing or none."""
    text = words.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _plain(value: str) -> bool:
    return len(value) <= LONGEST_VALUE and value.isprintable()
