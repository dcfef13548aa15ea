"""No tab breaks a rule of WCAG that axe knows; the frame's own footer is not ours."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

TABS = ("Explain", "What if", "Prototypes", "Compare", "Metrics", "Edit", "Report", "Quiz")


def test_no_tab_breaks_a_rule(open_page):
    page, found = open_page(), []
    for tab in TABS:
        page.get_by_role("tab", name=tab, exact=True).click()
        expect(page.get_by_role("tab", name=tab, exact=True)).to_have_attribute("aria-selected", "true")
        page.wait_for_timeout(500)
        answer = Axe().run(page, {"exclude": [["footer"]]})
        broken = answer.response["violations"]
        found += [(tab, rule["id"], node["html"]) for rule in broken for node in rule["nodes"]]
    assert not found
