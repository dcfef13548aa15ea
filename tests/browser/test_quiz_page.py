"""The tab 'Quiz' as a person meets it."""

from __future__ import annotations

import csv
import json
import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_a_quiz_is_taken_to_its_end_and_its_results_are_taken_away(open_page):
    page = open_page("?model=a-protopnet&tab=quiz&seed=5&length=5&feedback=1", ".quiz-settings")
    expect(page.get_by_label("Seed")).to_have_value("5")
    page.get_by_role("button", name="Start").click()
    for number in range(1, 6):
        expect(page.locator(".quiz [role=status]")).to_have_text(f"Question {number} of 5")
        expect(page.locator(".options .option")).to_have_count(4)
        page.get_by_role("radio", name=re.compile("Explanation B")).check()
        page.get_by_role("button", name="Answer").click()
        expect(page.locator(".quiz [role=status]")).to_contain_text("The model decided for")
        expect(page.locator(".judged .card", has_text="the decision").locator("img").first).to_be_visible()
        page.get_by_role("button", name="To the result" if number == 5 else "Next question").click()
    expect(page.locator(".quiz h2")).to_have_text(re.compile(r"^\d of 5 right$"))
    expect(page.locator(".results tbody tr")).to_have_count(5)
    hits = int(page.locator(".quiz h2").inner_text()[0])
    with page.expect_download() as download:
        page.get_by_role("link", name="Download JSON").click()
    told = json.loads(download.value.path().read_text())
    assert (told["seed"], told["score"]["hits"], len(told["items"])) == (5, hits, 5)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    rows = list(csv.DictReader(download.value.path().open()))
    assert sum(int(row["hit"]) for row in rows) == hits
    assert download.value.suggested_filename.endswith(".csv")
    page.get_by_role("button", name="Another quiz").click()
    expect(page.get_by_role("button", name="Start")).to_be_visible()


def test_right_or_wrong_is_asked_after_the_model_looked_at_all_pictures(open_page):
    page = open_page("?model=a-protopnet&tab=quiz&task=agreement&length=5", ".quiz-settings")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".scale input")).to_have_count(4)
    page.get_by_role("button", name="Answer").click()
    expect(page.locator(".quiz [role=status]")).to_have_text("Question 1 of 5")
    page.locator(".scale input").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.locator(".quiz [role=status]")).to_have_text("Question 2 of 5")
    page.get_by_role("button", name="End the quiz").click()
    expect(page.locator(".quiz h2")).to_have_text(re.compile(r"^\d of 1 right$"))
    page.wait_for_url(re.compile("task=agreement"))


def test_another_model_ends_a_running_quiz_and_says_so(open_page):
    page = open_page("?model=a-protopnet&tab=quiz&seed=nonsense&length=7", ".quiz-settings")
    expect(page.get_by_label("Seed")).to_have_value("0")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".options .option")).to_have_count(4)
    page.locator("#model input").click()
    page.locator('li[role=option][aria-label="Classification-By-Components on sample-birds"]').click()
    expect(page.locator(".quiz [role=status]")).to_contain_text("the quiz starts anew")
