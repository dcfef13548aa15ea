"""The tab 'Prototypes' as a person meets it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture
def page(open_page):
    return open_page("?model=a-protopnet&tab=prototypes", "#gallery .prototype-grid li")


def test_all_prototypes_are_shown_with_pictures(page):
    expect(page.locator("#gallery .prototype-grid li")).to_have_count(16)
    expect(page.locator("#gallery [role=status]")).to_contain_text("16 prototypes.")
    page.wait_for_function("[...document.querySelectorAll('#gallery img')].every(i => i.complete && i.naturalWidth)")


def test_the_gallery_is_searched_filtered_and_sorted(page):
    tiles = page.locator("#gallery .prototype-grid li")
    page.get_by_label("Sort by").select_option("Class weight")
    expect(page.locator("#gallery [role=status]")).to_contain_text("sorted by class weight")
    values = [float(text.replace("\N{MINUS SIGN}", "-")) for text in tiles.locator("i").all_text_contents()]
    assert values == sorted(values, reverse=True)
    page.locator("select[name=class]").select_option(index=2)
    expect(tiles).to_have_count(4)
    assert len(set(tiles.locator("small").all_inner_texts())) == 1
    page.get_by_label("Find").fill("nothing like that")
    expect(page.locator("#gallery [role=status]")).to_contain_text("None fits")
    page.get_by_label("Find").fill("6")
    expect(tiles).to_have_count(1)
    page.wait_for_url(re.compile("find=6.*class=1.*sort=weight"))


def test_a_prototype_has_a_page_and_the_gallery_is_found_again(page):
    page.get_by_label("Reverse").check()
    expect(page.locator("#gallery .prototype-grid b").first).to_have_text("15")
    page.locator("#gallery .prototype-grid a").nth(10).click()
    portrait = page.locator(".prototype-details")
    expect(portrait.locator("h2")).to_contain_text("Prototype 5")
    expect(portrait.locator(".side-by-side img")).to_have_count(2)
    expect(portrait.locator(".side-by-side .spot")).to_have_count(1)
    page.locator(".figures > summary").click()
    expect(portrait.locator(".weights").first).to_be_visible()
    expect(portrait.locator(".ranks li")).to_have_count(2)
    expect(page.locator("#gallery")).to_be_hidden()
    page.wait_for_url(re.compile("prototype=5"))
    portrait.get_by_role("link", name="Next").click()
    expect(portrait.locator("h2")).to_contain_text("Prototype 6")
    page.go_back()
    expect(portrait.locator("h2")).to_contain_text("Prototype 5")
    portrait.get_by_role("link", name="All prototypes").click()
    expect(page.locator("#gallery .prototype-grid li")).to_have_count(16)
    expect(portrait).to_have_count(0)
    expect(page.locator("#gallery .prototype-grid b").first).to_have_text("15")


def test_a_link_opens_a_prototype_and_a_neighbour_leads_on(open_page):
    page = open_page("?model=a-protopnet&tab=prototypes&prototype=3", ".prototype-details")
    neighbour = page.locator(".prototype-details .prototype-grid a").first
    number = neighbour.locator("b").inner_text()
    neighbour.click()
    expect(page.locator(".prototype-details h2")).to_contain_text(f"Prototype {number}")


def test_another_model_shows_its_own_prototypes_and_another_picture_changes_nothing(page):
    page.locator("#model input").click()
    page.get_by_role("option", name="Classification-By-Components on sample-birds").click()
    expect(page.locator("#gallery .prototype-grid small").first).to_have_text("shared by all classes")
    page.locator("#gallery .prototype-grid a").first.click()
    expect(page.locator(".prototype-details h2")).to_contain_text("shared by all classes")
    page.get_by_role("tab", name="Explain").click()
    page.locator("#pictures .tiles a").nth(1).click()
    expect(page.locator("#pictures .tiles a").nth(1)).to_have_attribute("aria-current", "")
    page.get_by_role("tab", name="Prototypes").click()
    expect(page.locator(".prototype-details h2")).to_contain_text("shared by all classes")


def test_a_prototype_that_is_not_there_is_told_and_the_app_goes_on(open_page):
    page = open_page("?model=a-protopnet&tab=prototypes&prototype=999", "#prototype-details [role=alert]")
    expect(page.locator("#prototype-details [role=alert]")).to_contain_text("There is no prototype 999.")
    page.get_by_role("tab", name="Explain").click()
    expect(page.locator("#answer h2")).to_be_visible()
    page.get_by_role("tab", name="Prototypes").click()


def test_hostile_class_names_are_text(open_page):
    page = open_page("?model=c-hostile&tab=prototypes&prototype=0", ".prototype-details")
    expect(page.locator(".prototype-details h2")).to_contain_text("{{7*7}}${7*7}")
    assert page.evaluate("window.hacked") is None


def test_the_nearest_pictures_are_found_and_lead_to_their_explanation(open_page):
    page = open_page("?model=a-protopnet&tab=prototypes&prototype=2", ".prototype-details h2")
    page.get_by_role("button", name="Find the nearest pictures").click()
    expect(page.locator("#nearest h3").first).to_have_text("Nearest training pictures", timeout=120_000)
    expect(page.locator("#nearest .near li")).to_have_count(10)
    places = [page.locator(one).bounding_box()["y"] for one in (".side-by-side", "#nearest .near >> nth=0", ".figures")]
    assert places == sorted(places)
    page.locator("#nearest .near a").first.click()
    expect(page.locator("#answer h2")).to_be_visible()
    expect(page.get_by_role("tab", name="Explain")).to_have_attribute("aria-selected", "true")
