"""The tab 'Metrics' as a person meets it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
MEASURED_WITHIN = 120_000


def only(page, *titles):
    """Tick these metrics and no others."""
    page.eval_on_selector_all("#metrics-work details", "all => all.forEach(fold => fold.open = true)")
    page.eval_on_selector_all("#metrics-work input[type=checkbox]", "all => all.forEach(box => box.checked = false)")
    for title in titles:
        page.get_by_role("checkbox", name=re.compile(f"^{title} ·")).check()


def test_metrics_are_measured_read_and_compared(open_page):
    page = open_page("?model=b-cbc&tab=metrics", "#metrics-work form")
    expect(page.locator("#metrics-report")).to_contain_text("It names 87.5 % of 12 test pictures rightly")
    expect(page.get_by_role("checkbox", name="Foreign images accepted")).to_be_disabled()
    only(page, "Accuracy", "Consistency")
    page.get_by_role("button", name="Measure", exact=True).click()
    expect(page.locator("#metrics-work")).to_contain_text("2 metrics were measured.", timeout=MEASURED_WITHIN)
    card = page.locator("#metric-consistency")
    expect(card).to_contain_text("For comparison: ")
    expect(page.locator(".light").nth(1).locator(".colour")).not_to_have_text("not measured")
    expect(page.locator(".light.grey").last).to_contain_text("Do explanations show what counts?")
    card.get_by_text("Details").click()
    expect(card.locator("svg polyline.own").first).to_be_visible()
    expect(card.locator(".histogram")).to_be_visible()
    with page.expect_download() as found:
        page.get_by_role("link", name="All numbers as CSV").click()
    assert found.value.path().read_text().startswith("metric,title,unit")
    page.get_by_label("Compare with").select_option("a-protopnet: ProtoPNet on sample-birds")
    expect(card).to_contain_text("a-protopnet: ProtoPNet on sample-birds: not measured.")
    page.wait_for_url(re.compile("with=a-protopnet"))
    page.get_by_role("tab", name="Prototypes").click()
    page.get_by_label("Sort by").select_option("Consistency")
    expect(page.locator("#gallery [role=status]")).to_contain_text("sorted by consistency")


def test_a_choice_of_nothing_is_refused_and_the_form_stays(open_page):
    page = open_page("?model=a-protopnet&tab=metrics&with=../../etc", "#metrics-work form")
    only(page)
    page.get_by_role("button", name="Measure", exact=True).click()
    expect(page.locator("#metrics-work [role=alert]")).to_contain_text("No metric was chosen")
    only(page, "Calibration error")
    page.get_by_role("button", name="Measure", exact=True).click()
    expect(page.locator("#metric-calibration_error")).to_be_visible(timeout=MEASURED_WITHIN)


def test_it_fits_a_telephone(open_page):
    page = open_page("?model=b-cbc&tab=metrics", "#metrics-work form", width=390, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
