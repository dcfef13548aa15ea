"""The visitors that the benchmark of the app sends speak as its page does."""

import random

import httpx
import pytest

from benchmarks.visitors import DEEDS, Visitor, crowded

pytestmark = pytest.mark.browser


def test_visitors_without_a_browser_get_answers(address):
    crowd = crowded(address, "a-protopnet", users=2, seconds=2.0)
    assert crowd.answers
    assert not crowd.troubles


def test_whatever_they_do_is_answered(address):
    visitor, draws = Visitor(httpx.Client(base_url=address, timeout=60), "a-protopnet"), random.Random(0)
    for deed in DEEDS:
        page, expected, job = deed(visitor, draws)
        assert expected in page or (job and "<progress" in page)
