"""The tab 'Edit' as a person meets it."""

from __future__ import annotations

import re

import pytest
from app_process import running
from playwright.sync_api import expect

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.editing.decisions import read_decisions

pytestmark = pytest.mark.browser


def decide(page, number, button):
    """Open the n-th tile, say why it is unwanted, and press a button."""
    page.locator(".edit-gallery .prototype-grid button").nth(number).click()
    page.get_by_label("It shows the background").check()
    page.get_by_role("button", name=button, exact=True).click()


def test_a_model_is_corrected_and_saved(open_page, checkpoints):
    page = open_page("?model=a-protopnet&tab=edit", ".edit-gallery .prototype-grid button")
    expect(page.locator(".edit summary")).to_have_text("The model as it is")
    expect(page.locator(".edit-gallery .prototype-grid button")).to_have_count(16)
    page.get_by_label("Only those with findings").check()
    expect(page.locator(".edit-gallery .prototype-grid button")).not_to_have_count(16)
    page.get_by_label("Only those with findings").uncheck()
    expect(page.locator(".edit-gallery .prototype-grid button")).to_have_count(16)

    page.locator(".edit-gallery .prototype-grid button").nth(1).click()
    expect(page.locator(".candidates img").first).to_be_visible()
    page.get_by_label("It shows the background").check()
    page.get_by_label("Note").fill('only <b>"sky"</b>')
    page.get_by_label("Your name").fill("Ada")
    page.locator(".candidates input").nth(1).check()
    page.get_by_role("button", name="Write the chosen part").click()
    expect(page.locator(".decisions li")).to_have_count(1)
    expect(page.locator(".decisions li")).to_contain_text('only <b>"sky"</b>')
    decide(page, 5, "Remove")
    expect(page.locator(".decisions li")).to_have_count(2)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".decisions li")).to_have_count(1)
    page.get_by_role("button", name="Redo").click()
    expect(page.locator(".decisions li")).to_have_count(2)

    page.get_by_role("button", name="Refit").click()
    expect(page.locator(".edit h3", has_text="Before and after")).to_be_visible()
    others = page.locator(".edit h3", has_text="named otherwise")
    expect(others).to_have_text(re.compile("^((No|1) test picture is|[0-9]+ test pictures are)"))
    expect(page.locator(".edit .results tbody tr").nth(2)).to_have_text(re.compile(r"Prototypes\s*16\s*15"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download decisions").click()
    told = read_decisions(download.value.path())
    assert [decision.do for decision in told.decisions] == ["reproject", "remove"]
    assert told.weights_sha256 == Checkpoint.load(checkpoints / "a-protopnet").weights_sha256

    page.get_by_label("Name of the new checkpoint").fill("b-cbc")
    page.get_by_role("button", name="Save as new checkpoint").click()
    expect(page.locator(".edit .message[role=alert]")).to_contain_text("already")
    page.get_by_label("Name of the new checkpoint").fill("corrected")
    page.get_by_role("button", name="Save as new checkpoint").click()
    expect(page.locator(".edit .message[role=status]")).to_contain_text("Saved as corrected")
    saved = Checkpoint.load(checkpoints / "corrected")
    assert [row["who"] for row in saved.metrics["edits"]] == ["Ada", "Ada"]
    page.locator("#model input").click()
    expect(page.locator("#model [role=option]", has_text="corrected")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Look at the new model").click()
    expect(page.locator("#gallery .prototype-grid li")).to_have_count(15)


def test_any_cell_can_be_chosen_and_a_reason_is_asked_for(open_page):
    page = open_page("?model=a-protopnet&tab=edit&prototype=3", ".board, .edit-one .candidates img")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".edit-one [role=alert]")).to_contain_text("No reason was chosen")
    page.get_by_label("Something else").check()
    page.get_by_role("button", name="Show it").click()
    expect(page.get_by_label("Something else")).to_be_checked()
    page.get_by_role("button", name="Row 2, column 3").click()
    expect(page.locator(".decisions li")).to_contain_text("row 2, column 3")
    other = open_page("?model=a-protopnet&tab=edit", ".edit-gallery .prototype-grid button")
    expect(other.locator(".decisions li")).to_have_count(0)
    page.get_by_role("button", name=re.compile("Take back")).click()
    expect(page.locator(".decisions li")).to_have_count(0)


def test_components_can_be_removed_on_a_narrow_screen(open_page):
    page = open_page("?model=b-cbc&tab=edit", ".edit-gallery .prototype-grid button", width=390)
    expect(page.locator(".edit summary")).to_be_visible()
    page.locator(".edit-gallery .prototype-grid button").first.click()
    expect(page.locator(".edit-one")).to_contain_text("parts of its network")
    page.get_by_label("Something else").check()
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".decisions li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_the_data_set_the_page_says_what_to_start(checkpoints, birds, tmp_path, chromium):
    from protoexplain.planted import draw

    draw(tmp_path / "others", classes=4, train_per_class=2, test_per_class=1, size=64)
    with running(checkpoints, tmp_path / "others", tmp_path) as address:
        page = chromium.new_page()
        page.goto(f"{address}/?model=a-protopnet&tab=edit")
        expect(page.locator(".edit .message")).to_contain_text("another data set")
        page.close()
