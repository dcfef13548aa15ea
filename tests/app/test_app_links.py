"""Addresses: what a link says comes back, and what is no word of ours does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoexplain_app.links import Address, encode, number, parse


def test_a_link_says_model_image_tab_and_words_of_the_tab():
    address = parse("?model=a%2Fb&image=images%2F1.jpg&tab=quiz&seed=7&task=agreement")
    assert address == Address("a/b", "images/1.jpg", "quiz", (("seed", "7"), ("task", "agreement")))
    assert address.of("quiz") == {"seed": "7", "task": "agreement"}
    assert address.of("explain") == {}


@given(
    st.dictionaries(st.sampled_from(["find", "sort", "class"]), st.text(st.characters(categories=["L", "N", "P", "S"])))
)
def test_what_is_written_is_read_again(words):
    short = {name: value[:100] for name, value in words.items()}
    assert dict(parse(encode({**short, "tab": "t"})).parameters) == {
        name: value for name, value in short.items() if value
    }


@given(st.text())
def test_any_text_can_be_an_address(text):
    address = parse(text)
    assert all(name.isidentifier() and value.isprintable() for name, value in address.parameters)


@pytest.mark.parametrize(
    "text",
    [
        "model=" + "x" * 501,
        "model=%00",
        "model=a%0Ab",
        "model=%ff",
        "&".join(f"a{i}=1" for i in range(30)),
        "<script>=1",
    ],
)
def test_what_is_no_word_is_left_out(text):
    assert parse(text) == Address()


@pytest.mark.parametrize(
    ("text", "value"), [("7", 7), ("", None), ("-1", None), ("1e3", None), ("\u0663", None), ("9" * 20, None)]
)
def test_numbers_are_plain_digits(text, value):
    assert number({"class": text}, "class") == value


def test_empty_words_are_left_out_but_zero_is_not():
    assert encode({"class": 0, "find": "", "label": None, "sort": "number"}) == "class=0&sort=number"
