"""What errors say of names."""

from protoexplain.errors import nearest_name


def test_few_names_are_all_told():
    assert nearest_name("pea", ["share", "peak"]) == "did you mean 'peak'? known: peak, share"
    assert nearest_name("zzz", ["share", "peak"]) == "known: peak, share"


def test_of_many_names_the_near_ones_are_told_in_one_line():
    names = [f"preset-number-{number}" for number in range(100)]
    close = nearest_name("preset-number-77x", names)
    assert close.startswith("did you mean 'preset-number-77'")
    assert len(close) < 120
    far = nearest_name("zzz", names)
    assert far.startswith("known: preset-number-0, ")
    assert far.count("preset-number") + int(far.split("and ")[1].split()[0]) == 100
