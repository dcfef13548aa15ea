"""The visitors that the benchmark of the app sends speak as its page does."""

import random
import re
import time

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


def test_what_a_closed_browser_asked_for_is_not_worked_at(address):
    """Many questions are on their way when it closes; but for those that are being answered, none is."""
    with httpx.Client(base_url=address, timeout=60) as client:
        visitor, asked, before = Visitor(client, "a-protopnet"), 30, explained(client)
        visitor.go(f"{visitor.pictures[0]}&tab=explain")
        for _ in range(asked):
            visitor.begin("change", "answer", 5, "map")
        with visitor.listen() as stream:
            next(stream.iter_lines())
        found = [before]
        while len(found) < 4 or found[-1] != found[-4]:
            time.sleep(0.3)
            found.append(explained(client))
        assert before < found[-1] < before + asked


def explained(client):
    """How many events of the tab 'Explain' were answered."""
    figures = client.get("/metrics").text
    return sum(map(float, re.findall(r'event_seconds_count{event="[^"]*explain[^"]*".*} (.*)', figures)))
