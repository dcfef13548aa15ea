"""Names of classes as people read them."""

from protoexplain.class_names import owner_name

NAMES = ("001.Black_footed_Albatross", "wren", "tit", "jay", "crow")


def test_owners_in_words():
    assert owner_name(None, NAMES) is None
    assert owner_name((0,), NAMES) == NAMES[0]
    assert owner_name((0, 1), NAMES) == "Black footed Albatross and wren"
    assert owner_name((1, 2, 3), NAMES) == "wren, tit and jay"
    assert owner_name((1, 2, 3, 4), NAMES) == "wren, tit and 2 others"
