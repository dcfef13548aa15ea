"""The tab 'Report' as a person meets it."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
MADE_WITHIN = 120_000


def downloaded(page, name):
    with page.expect_download() as download:
        page.get_by_role("link", name=name).click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def test_a_report_is_made_looked_at_and_taken_along(open_page):
    page = open_page("?model=b-cbc&tab=report", ".report-settings", may_fail=True)  # what a reload breaks off
    expect(page.locator(".report-settings :checked")).to_have_count(7)
    page.get_by_label("How to make it again").uncheck()
    page.get_by_label("The prototypes").uncheck()
    page.locator(".tick input").nth(2).check()
    page.wait_for_url(re.compile("pictures=chosen.1"))
    page.get_by_role("button", name="Make the report").click()
    expect(page.locator("#report-status progress")).to_be_in_viewport()
    page.reload()
    page.locator("#report-status .working, .downloads").first.wait_for()
    frame = page.frame_locator("iframe.preview")
    expect(frame.locator("h1")).to_have_text(re.compile("^Classification-By-Components on "), timeout=MADE_WITHIN)
    expect(frame.locator("article.explained")).to_have_count(2)
    expect(page.get_by_role("link", name="PDF")).to_be_visible(timeout=MADE_WITHIN)
    expect(page.locator("#report-status progress")).to_have_count(0, timeout=MADE_WITHIN)
    name, content = downloaded(page, "JSON, for programs")
    assert name == "report-b-cbc.json"
    report = json.loads(content)
    assert (report["reproduce"], report["prototypes"]) == (None, None)
    assert len(report["images"]) == 2
    assert downloaded(page, "PDF")[1].startswith(b"%PDF-")
    assert downloaded(page, "Web page")[1].lstrip().startswith(b"<!doctype html>")
    page.locator("#pictures .tiles a").nth(2).click()
    expect(page.locator(".tick :checked")).to_have_count(2)
    expect(frame.locator("h1")).to_be_visible()
    page.wait_for_url(re.compile("image=.*sections="))
    again = open_page(f"?{page.url.partition('?')[2]}", ".report-settings")
    expect(again.get_by_label("How to make it again")).not_to_be_checked()
    expect(again.locator(".tick input").nth(2)).to_be_checked()


def test_hostile_names_are_text_in_the_preview(open_page):
    page = open_page("?model=c-hostile&tab=report&sections=images", ".report-settings")
    page.get_by_role("button", name="Make the report").click()
    frame = page.frame_locator("iframe.preview")
    expect(frame.locator("article.explained h3")).to_contain_text("onerror", timeout=MADE_WITHIN)
    assert page.evaluate("window.hacked") is None


def test_what_cannot_be_made_is_told_and_the_tab_goes_on(open_page, tmp_path):
    page = open_page("?model=a-protopnet&tab=report&sections=images&pictures=none", ".report-settings")
    page.get_by_role("button", name="Make the report").click()
    expect(page.locator("#report-status [role=alert]")).to_contain_text("No picture is chosen")
    poem = tmp_path / "poem.jpg"
    poem.write_text("Roses are red")
    page.locator("#own-file").set_input_files(poem)
    expect(page.locator(".ticks")).to_contain_text("your picture")
    page.get_by_label("the chosen one").check()
    page.get_by_role("button", name="Make the report").click()
    expect(page.locator("#report-status [role=alert]")).to_contain_text("The file is a text", timeout=MADE_WITHIN)
    page.locator(".tick input").nth(1).check()
    page.get_by_role("button", name="Make the report").click()
    expect(page.locator("#report-status .notice")).to_contain_text("poem.jpg is left out", timeout=MADE_WITHIN)
    expect(page.frame_locator("iframe.preview").locator("article.explained")).to_have_count(1)
