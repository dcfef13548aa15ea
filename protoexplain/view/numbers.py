"""How numbers and class names are written for people."""

from __future__ import annotations

MINUS = "\N{MINUS SIGN}"


def percent(share: float) -> str:
    """A probability: 93.1 %; never 0 % or 100 % where it is not."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def amount(value: float, by_probability: bool, sign: bool = True) -> str:
    """Evidence or a score: +2.31, or +0.031 where scores lie between 0 and 1."""
    digits = f"{value:.3f}" if by_probability else f"{value:.2f}"
    magnitude = digits.lstrip("-")
    negative = digits.startswith("-") and float(magnitude) > 0
    prefix = MINUS if negative else "+" if sign else ""
    return f"{prefix}{magnitude}"


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
