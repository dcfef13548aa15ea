"""The visitors that the benchmark of the app sends speak as its page does."""

import pytest

from benchmarks.visitors import crowded

pytestmark = pytest.mark.browser


def test_visitors_without_a_browser_get_answers(address):
    crowd = crowded(address, "a-protopnet", users=2, seconds=2.0)
    assert crowd.answers
    assert not crowd.troubles
