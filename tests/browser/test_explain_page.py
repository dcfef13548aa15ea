"""The page 'Explain' as a person meets it."""

from __future__ import annotations

import re

import pytest
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture
def page(open_page):
    """The first view, when the address says what it shows."""
    opened = open_page()
    opened.wait_for_url(re.compile("model="))
    return opened


def number(text):
    return float(re.sub(r"[ %+]", "", text.replace("\N{MINUS SIGN}", "-")))


def upload(page, path):
    page.locator("#own-file").set_input_files(path)


def choose(page, dropdown, option):
    page.locator(f"{dropdown} input").click()
    page.locator(f'li[role=option][aria-label="{option}"]').click()


def open_settings(page):
    """By keyboard, as it must be possible."""
    drawer = page.get_by_role("button", name="Settings").first
    drawer.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#rows")).to_be_visible()


def above_the_fold(page):
    """Whether the picture, the answer and two rows are seen without scrolling."""
    page.locator("#answer .card").nth(1).wait_for()
    size = page.viewport_size
    places = [page.locator("#explained .whole"), page.locator("#answer h2"), page.locator("#answer .verdict")]
    places += [page.locator("#answer .card").nth(i) for i in (0, 1)]
    edges = [place.bounding_box() for place in places]
    return all(
        edge["y"] >= 0 and edge["y"] + edge["height"] <= size["height"] and edge["x"] + edge["width"] <= size["width"]
        for edge in edges
    )


def some_bird(birds):
    return sorted(birds.glob("images/*/*.jpg"))[0]


def test_the_first_visit_shows_an_example_explained(open_page):
    page = open_page(height=800)
    expect(page.get_by_role("heading", level=1)).to_have_text("This part looks like that part")
    assert page.locator(".introduction p").inner_text().count(".") == 1
    expect(page.locator("#answer h2")).to_have_text(re.compile(r"^Why .+\?$"))
    assert above_the_fold(page)
    expect(page.locator("#rows")).to_be_hidden()
    expect(page.locator("#answer .card").first).to_contain_text("Similarity")
    expect(page.locator("#facts")).to_contain_text("87.5 %")
    expect(page.locator("#explained .mark").first).to_be_visible()
    assert page.locator("#classes label").count() == 4
    page.wait_for_url(re.compile("model=a-protopnet"))
    page.get_by_role("tab", name="Metrics").click()
    expect(page.locator("#picture-panel")).to_be_hidden()
    expect(page.locator(".introduction")).to_be_hidden()
    page.get_by_role("tab", name="Explain").click()
    page.get_by_role("button", name="Got it").click()
    expect(page.locator(".introduction")).to_be_hidden()
    again = open_page()
    expect(again.locator(".introduction")).to_be_hidden()
    again.evaluate("localStorage.clear()")


def test_the_keyboard_meets_tabs_before_pictures_and_can_skip(page):
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#tab-explain")).to_be_focused()
    order = page.evaluate(
        """() => ["#tabs [role=tab]", "#explained .pin", "#own-file", "#pictures a"].map(
            (place) => [...document.querySelectorAll("*")].indexOf(document.querySelector(place)))"""
    )
    assert order == sorted(order)


def test_every_picture_is_drawn_and_described(page):
    page.locator("#answer .card").first.wait_for()
    page.wait_for_function("[...document.querySelectorAll('#explained img, #answer img')].every(i => i.complete)")
    pictures = page.eval_on_selector_all("#explained img, #answer img", "all => all.map(i => [i.alt, i.naturalWidth])")
    assert len(pictures) > 5
    assert all(alt and width for alt, width in pictures)


def test_the_shown_numbers_add_up(page):
    """The lead row by row, the score of the class alone, and the sentence above the rows."""
    lead = page.locator(".lead-sum td:last-child").all_inner_texts()
    assert sum(map(number, lead[:-1])) == pytest.approx(number(lead[-1]), abs=0.04)
    told, given, rest = (number(text) for text in page.locator(".lead b").all_inner_texts())
    assert told == pytest.approx(number(lead[-1]))
    assert given + rest == pytest.approx(told, abs=0.02)
    cells = page.locator(".whole-score .sum td:last-child").all_text_contents()
    assert sum(map(number, cells[:-1])) == pytest.approx(number(cells[-1]), abs=0.02)
    rows = page.locator(".card dl div:nth-child(2) dd").all_text_contents()
    assert sum(map(number, rows)) == pytest.approx(number(cells[0]), abs=0.03)
    expect(page.locator(".box-test.good summary, .box-test.bad summary").first).to_contain_text("Box test")


def test_another_class_is_explained_by_click_and_by_keyboard(page):
    labels = page.locator("#classes label")
    first, second = (labels.nth(i).inner_text().split(" · ")[0] for i in (0, 1))
    labels.nth(1).click()
    expect(page.locator("#answer h2")).to_have_text(f"Why not {second}?")
    expect(page.locator(".verdict")).to_contain_text("place 2")
    labels.nth(0).locator("input").focus()
    page.keyboard.press("Space")
    expect(page.locator("#answer h2")).to_have_text(f"Why {first}?")


def test_any_class_can_be_asked_for(page):
    name = page.locator("#classes label").nth(2).inner_text().split(" · ")[0]
    open_settings(page)
    choose(page, "#other", name)
    expect(page.locator("#answer h2")).to_have_text(f"Why not {name}?")
    expect(page.locator("#classes label.selected")).to_contain_text(name)


def test_another_example_and_fewer_rows(page):
    caption = page.locator("#explained .caption")
    before = caption.inner_text()
    page.locator("#answer button.number").nth(1).click()
    expect(page.locator("#answer [aria-pressed=true]")).to_have_count(1)
    page.locator("#pictures .tiles a").nth(1).click()
    expect(caption).not_to_have_text(before)
    expect(page.locator("#explained .mark.here")).to_have_count(1)
    expect(page.locator("#answer [aria-pressed=true]")).to_have_count(0)
    assert page.locator("#answer .card").count() == 5
    open_settings(page)
    page.locator("#rows label", has_text="3").click()
    expect(page.locator("#answer .card")).to_have_count(3)


def test_another_checkpoint_tells_what_spoke_by_absence(page):
    caption = page.locator("#explained .caption").inner_text()
    choose(page, "#model", "Classification-By-Components on sample-birds")
    expect(page.locator("#answer")).to_contain_text("Missing, as expected")
    expect(page.locator(".cards.absent .card").first).to_contain_text("shared by all classes")
    assert page.locator("#explained .caption").inner_text() == caption
    cells = page.locator(".whole-score .sum td:last-child").all_text_contents()
    assert 0 < number(cells[-1]) < 1
    assert sum(map(number, cells[:-1])) == pytest.approx(number(cells[-1]), abs=0.002)


def test_an_uploaded_picture_is_explained_as_a_whole_and_can_be_put_away(page, birds):
    upload(page, some_bird(birds))
    expect(page.locator("#explained .caption")).to_contain_text(some_bird(birds).name)
    expect(page.locator("#explained .seen")).to_have_count(0)
    expect(page.locator("#answer h2")).to_have_text(re.compile(r"^Why "))
    page.locator("#pictures .tiles a").first.click()
    expect(page.locator("#explained .seen")).to_have_count(1)
    expect(page.locator("#own-file")).to_be_visible()
    expect(page.locator("#own")).not_to_contain_text(some_bird(birds).name)


def test_a_frame_around_the_object_is_drawn_with_a_pointer_and_moved_by_keyboard(page, birds):
    upload(page, some_bird(birds))
    expect(page.locator("#own .canvas")).to_be_visible()
    expect(page.locator("#explained .seen")).to_have_count(0)
    edge = page.locator("#own .canvas").bounding_box()
    page.mouse.move(edge["x"] + 0.2 * edge["width"], edge["y"] + 0.2 * edge["height"])
    page.mouse.down()
    page.mouse.move(edge["x"] + 0.5 * edge["width"], edge["y"] + 0.5 * edge["height"])
    page.mouse.move(edge["x"] + 0.7 * edge["width"], edge["y"] + 0.8 * edge["height"])
    page.mouse.up()
    expect(page.locator("#explained .seen")).to_have_attribute(
        "style", re.compile(r"left: (19|20)\.\d+%.*width: (49|50)\.\d+%")
    )
    corner = page.get_by_role("button", name="Lower right corner")
    corner.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(corner).to_have_attribute("aria-label", re.compile("at 80 % from the left"))
    expect(page.locator("#explained .seen")).to_have_attribute("style", re.compile(r"width: (59|60)\.\d+%"))
    page.get_by_role("button", name="Whole picture").click()
    expect(page.locator("#explained .seen")).to_have_count(0)
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("#explained .seen")).to_have_count(1)


def test_a_picture_is_pasted(page, birds):
    page.evaluate(
        """async (bytes) => {
            const file = new File([new Uint8Array(bytes)], "pasted.jpg", { type: "image/jpeg" });
            const data = new DataTransfer();
            data.items.add(file);
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
        }""",
        list(some_bird(birds).read_bytes()),
    )
    expect(page.locator("#explained .caption")).to_contain_text("pasted.jpg")


def test_a_picture_is_taken_with_the_camera(page):
    page.get_by_role("button", name="Use the camera").click()
    page.wait_for_function("document.querySelector('#own video').videoWidth > 0")
    page.get_by_role("button", name="Take the picture").click()
    expect(page.locator("#explained .caption")).to_contain_text("camera.jpg")
    assert page.evaluate("document.querySelector('#own video').srcObject.active") is False


def test_a_row_and_its_box_are_linked(page):
    """One box at a time, in the colour of its row; by hover, by Tab, and from the picture to the row."""
    seen = page.locator("#explained .mark.here")
    expect(seen).to_have_text("1")
    page.locator("#answer .card").nth(1).hover()
    expect(seen).to_have_text("2")
    expect(page.locator("#explained .lens img.heat")).to_have_count(1)
    colours = "([a, b]) => getComputedStyle(document.querySelector(a)).borderTopColor"
    assert page.evaluate(colours, ["#explained .mark.here", ""]) == page.evaluate(colours, ["#answer .card.here", ""])
    page.locator("#explained .caption").hover()
    expect(seen).to_have_text("1")
    expect(page.locator("#explained .lens img.heat")).to_have_count(0)
    page.locator("#explained .pin").first.focus()
    page.keyboard.press("Tab")
    expect(seen).to_have_text("2")
    expect(page.locator("#answer .card.here")).to_have_attribute("data-row", "2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Show row 2 in the picture")).to_have_attribute("aria-pressed", "true")


def test_a_row_is_kept_shown_by_keyboard_and_heat_maps_fade(page):
    number = page.get_by_role("button", name="Show row 1 in the picture")
    number.press("Enter")
    expect(number).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#explained .mark.here")).to_have_text("1")
    open_settings(page)
    slider = page.get_by_role("slider", name="Strength of the heat map")
    slider.focus()
    page.keyboard.press("Home")
    expect(page.locator("#answer img.heat").first).to_have_css("opacity", "0")
    page.locator("#rows label", has_text="3").click()
    expect(page.locator("#answer .card")).to_have_count(3)
    expect(page.locator("#answer img.heat").first).to_have_css("opacity", "0")
    expect(slider).to_have_value("0")


def test_pictures_that_the_model_names_wrongly_or_unsurely_are_found(page):
    page.get_by_label("Which pictures").select_option("Least sure first")
    expect(page.locator("#pictures .tiles img")).to_have_count(12)
    page.get_by_label("Which pictures").select_option("Named wrongly")
    expect(page.locator("#pictures .tiles a:not(:has(.wrong-badge))")).to_have_count(0)
    expect(page.locator("#pictures .wrong-badge").or_(page.locator("#pictures [role=status]")).first).to_be_visible()
    page.get_by_label("Which pictures").select_option("All")
    expect(page.locator("#pictures .tiles img")).to_have_count(12)
    page.get_by_label("Of which class").select_option(index=1)
    expect(page.locator("#pictures .tiles a")).to_have_count(3)
    page.locator("#pictures .tiles a").nth(2).click()
    expect(page.locator("#pictures .tiles a").nth(2)).to_have_attribute("aria-current", "")
    expect(page.locator("#pictures .tiles a")).to_have_count(3)


def test_heat_maps_are_drawn_by_another_method_and_the_link_says_which(page, open_page):
    heat = page.locator("#answer img.heat").first
    own = heat.get_attribute("src")
    open_settings(page)
    choose(page, "#heat", "Grad-CAM")
    expect(heat).to_have_attribute("alt", re.compile("^Grad-CAM"))
    assert heat.get_attribute("src") != own
    page.wait_for_url("**heat=grad-cam**")
    expect(open_page("?" + page.url.partition("?")[2]).locator("#answer img.heat").first).to_have_attribute(
        "alt", re.compile("^Grad-CAM")
    )


def test_a_row_leads_to_its_prototype(page):
    page.eval_on_selector_all("#answer .folded details", "all => all.forEach(fold => fold.open = true)")
    link = page.locator("#answer .card h4 a").first
    name = link.inner_text()
    link.click()
    expect(page.locator(".prototype-details h2")).to_contain_text(name)
    page.go_back()
    expect(page.locator("#answer h2")).to_be_visible()


def test_bad_files_are_refused_in_the_page_and_the_app_goes_on(page, birds, tmp_path):
    for name, content, reason in (
        ("poem.jpg", b"Roses are red\n" * 40, "The file is a text, not one of"),
        ("cut.jpg", some_bird(birds).read_bytes()[:2000], "The picture is cut off before its end."),
        ("empty.png", b"", "The file is empty"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        upload(page, path)
        alert = page.locator("#answer [role=alert]")
        expect(alert).to_contain_text(reason)
        assert "Traceback" not in page.inner_text("body")
        assert str(tmp_path) not in alert.inner_text()
        page.locator("#pictures .tiles a").first.click()
        expect(page.locator("#answer h2")).to_have_text(re.compile(r"^Why "))


def test_a_camera_picture_of_twelve_megapixels_is_scaled_before_it_is_sent(page, tmp_path):
    path = tmp_path / "camera.jpg"
    Image.effect_noise((4000, 3000), 90).convert("RGB").save(path, quality=98)
    assert path.stat().st_size > 8 << 20
    upload(page, path)
    expect(page.locator("#explained .caption")).to_have_text("camera.jpg")
    assert page.locator("#own img").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [2048, 1536]


def test_a_file_above_the_limit_is_refused_by_the_page(page, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(b"\x89PNG" + bytes(8 << 20))
    upload(page, path)
    expect(page.locator("#own [role=alert]")).to_have_text("The picture has 8.4 MB; up to 8 MB are taken.")
    expect(page.locator("#answer h2")).to_be_visible()


def test_a_file_name_with_markup_is_text_and_what_was_done_to_a_picture_is_told(page, birds, tmp_path):
    path = tmp_path / "<img src=x onerror=window.hacked=1>.jpg"
    Image.open(some_bird(birds)).convert("CMYK").save(path)
    upload(page, path)
    expect(page.locator("#explained .caption")).to_contain_text("onerror")
    expect(page.locator("#explained .notice")).to_have_text("Note: CMYK colours were converted to RGB.")
    assert page.evaluate("window.hacked") is None


def test_class_names_with_markup_are_shown_as_text(page):
    choose(page, "#model", "c-hostile: ProtoPNet on sample-birds")
    expect(page.locator("#answer h2")).to_contain_text('"><img src=x onerror="window.hacked=1">{{7*7}}${7*7}')
    expect(page.locator("#classes label").first).to_contain_text("{{7*7}}${7*7}")
    assert page.evaluate("window.hacked") is None


def test_a_broken_checkpoint_is_listed_with_its_reason(page):
    page.locator(".broken summary").click()
    expect(page.locator(".broken li")).to_have_text(re.compile(r"^d-damaged: model\.safetensors .+"))
    page.locator("#model input").click()
    assert "damaged" not in " ".join(page.get_by_role("option").all_inner_texts())


def test_a_question_mark_explains_a_score_by_keyboard(page):
    page.get_by_role("button", name="What does similarity mean?").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#help-similarity")).to_be_visible()
    expect(page.locator("#help-similarity")).to_contain_text("Higher is more alike")
    page.keyboard.press("Escape")
    expect(page.locator("#help-similarity")).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(open_page, theme):
    page = open_page(f"?__theme={theme}", width=390, height=844)
    page.locator("#answer .card").first.wait_for()
    assert above_the_fold(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#tabs [role=tablist]").bounding_box()["height"] < 50
    right_edges = "all => all.map(e => e.getBoundingClientRect().right)"
    assert max(page.eval_on_selector_all("#answer .card, #explained .whole", right_edges)) <= 390
    expect(page.locator("#picture-panel")).to_be_visible()
    page.get_by_role("tab", name="Prototypes").click()
    expect(page.locator("#picture-panel")).to_be_hidden()
    page = open_page(f"?__theme={theme}&tab=quiz", ".quiz-settings", width=390, height=844)
    expect(page.get_by_role("tab", name="Quiz")).to_be_in_viewport(ratio=1)
