"""The tab 'What if' as a person meets it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_sliders_questions_and_paint_move_the_answer(open_page):
    page = open_page("?model=a-protopnet&tab=what_if", "#what-if-answer table")
    changed = page.locator("#what-if-changed img")
    expect(page.locator("#what-if-answer .verdict")).to_contain_text("The model says")
    before = changed.get_attribute("src")
    hue = page.get_by_role("slider", name="Hue")
    hue.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(hue).to_have_attribute("aria-valuetext", "18 degrees of the colour circle")
    page.wait_for_url(re.compile("hue=0.05"))
    assert changed.get_attribute("src") != before
    expect(page.locator("#what-if-answer .verdict")).to_contain_text(re.compile("The model (still|now) says"))
    expect(page.locator("#what-if-prototypes .card").first).to_contain_text("→")
    page.get_by_role("button", name="fine texture were gone?").click()
    page.wait_for_url(re.compile("texture=4"))
    assert "hue" not in page.url
    expect(page.locator("#what-if-controls [data-part=working]")).to_be_hidden()
    page.get_by_role("button", name="Reset all").click()
    expect(page.locator("#what-if-changed figcaption")).to_have_text("Nothing is changed yet")
    expect(changed).to_have_attribute("src", before)


def test_a_part_is_painted_by_pointer_and_keyboard_and_the_link_holds_it(open_page):
    page = open_page("?model=b-cbc&tab=what_if", "#what-if-answer table")
    edge = page.locator("canvas.painting").bounding_box()
    page.mouse.move(edge["x"] + 0.2 * edge["width"], edge["y"] + 0.3 * edge["height"])
    page.mouse.down()
    page.mouse.move(edge["x"] + 0.7 * edge["width"], edge["y"] + 0.4 * edge["height"])
    page.mouse.up()
    page.wait_for_url(re.compile("area=[A-Za-z0-9_-]{171}&use=grey"))
    said = page.locator("#painting-said")
    expect(said).to_have_text(re.compile("^[4-7] % of the picture is painted"))
    expect(page.locator("#what-if-changed figcaption")).to_have_text("Changed")
    page.get_by_label("The painted part").select_option("is blurred")
    page.wait_for_url(re.compile("use=blur"))
    page.get_by_role("button", name="Erase the painted part").click()
    expect(page.locator("#what-if-changed figcaption")).to_have_text("Nothing is changed yet")
    page.get_by_role("radio", name="Box").check()
    page.locator("canvas.painting").focus()
    page.keyboard.press("Space")
    for key in ["ArrowRight"] * 7 + ["ArrowDown"] * 3:
        page.keyboard.press(key)
    expect(said).to_have_text("Row 20, column 24 of 32.")
    page.keyboard.press("Space")
    page.wait_for_url(re.compile("area="))
    expect(said).to_have_text("3 % of the picture is painted.")
    again = open_page(f"?{page.url.partition('?')[2]}", "#what-if-answer table")
    expect(again.locator("#painting-said")).to_have_text("3 % of the picture is painted.")
    expect(again.locator("#what-if-changed figcaption")).to_have_text("Changed")
    again.locator("#pictures .tiles a").nth(2).click()
    expect(again.locator("#painting-said")).to_contain_text("Draw on the picture")
    again.get_by_role("slider", name="Hue").focus()
    again.keyboard.press("ArrowRight")
    again.wait_for_url(re.compile("hue=0.01"))
    assert "area=" not in again.url


def test_another_picture_is_asked_the_same_and_what_cannot_be_read_is_told(open_page, tmp_path):
    page = open_page("?model=a-protopnet&tab=what_if&brightness=0.5&area=nonsense&hue=lots", "#what-if-answer table")
    expect(page.get_by_role("slider", name="Brightness")).to_have_value("0.5")
    page.locator("#pictures .tiles a").nth(2).click()
    page.wait_for_url(re.compile("image=.*brightness=0.5"))
    expect(page.locator(".slider.moved output")).to_have_text("0.5 times the original")
    poem = tmp_path / "poem.jpg"
    poem.write_text("Roses are red")
    page.locator("#own-file").set_input_files(poem)
    expect(page.locator("#what-if-answer [role=alert]")).to_contain_text("The file is a text")
    expect(page.locator("#what-if-original img")).to_have_count(0)
    expect(page.locator("#own .canvas")).to_be_hidden()
    page.locator("#pictures .tiles a").first.click()
    expect(page.locator("#what-if-answer table")).to_be_visible()
    expect(page.get_by_role("slider", name="Brightness")).to_have_value("0.5")


def test_it_fits_a_telephone(open_page):
    page = open_page("?model=a-protopnet&tab=what_if&hue=0.3", "#what-if-prototypes .card", width=390, height=800)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
