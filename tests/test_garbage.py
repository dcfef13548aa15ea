"""When Python looks for garbage."""

import gc

from protoexplain.garbage import uncollected


def test_nothing_is_collected_within_and_all_is_as_before_afterwards():
    with uncollected():
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
