"""The tab 'Compare' as a person meets it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_two_pictures_and_two_models_are_compared(open_page):
    page = open_page("?model=a-protopnet&tab=compare", ".comparison")
    expect(page.locator(".side")).to_have_count(2)
    expect(page.locator(".comparison > h2")).to_have_text(re.compile("^(What changes|Why)"))
    expect(page.locator(".versus-row").first).to_contain_text("Prototype")
    page.wait_for_function("[...document.querySelectorAll('.comparison img')].every(i => i.complete && i.naturalWidth)")
    right = page.locator(".side h2").nth(1)
    before = right.inner_text()
    page.locator("#compare-query .tiles a").nth(2).click()
    expect(right).not_to_have_text(before)
    page.wait_for_url(re.compile("how=pictures&other="))
    page.get_by_label("two models").check()
    expect(right).to_have_text("Classification-By-Components on sample-birds")
    expect(page.locator(".versus-row").first).to_contain_text("share")
    page.wait_for_url(re.compile("how=models"))
    query = page.url.partition("?")[2]
    again = open_page(f"?{query}", ".comparison")
    expect(again.locator(".side h2").nth(1)).to_have_text("Classification-By-Components on sample-birds")


def test_another_picture_changes_the_left_side(open_page):
    page = open_page("?model=b-cbc&tab=compare", ".comparison")
    left = page.locator(".side h2").first
    before = left.inner_text()
    page.locator("#pictures .tiles a").nth(3).click()
    expect(left).not_to_have_text(before)
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true")


def test_what_cannot_be_compared_is_told_and_the_app_goes_on(open_page, tmp_path):
    page = open_page("?model=a-protopnet&tab=compare&how=models&other=../../etc", ".comparison")
    expect(page.locator(".side h2").nth(1)).to_have_text("Classification-By-Components on sample-birds")
    poem = tmp_path / "poem.jpg"
    poem.write_text("Roses are red")
    page.locator("#own-file").set_input_files(poem)
    expect(page.locator("#comparison [role=alert]")).to_contain_text("The file is a text")
    page.locator("#pictures .tiles a").first.click()
    expect(page.locator(".comparison .side")).to_have_count(2)
