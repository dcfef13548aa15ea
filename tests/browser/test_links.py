"""Links: the address says what is shown, opens the same view again, and is followed without a reload."""

from __future__ import annotations

import re
import shutil

import pytest
from app_process import running
from playwright.sync_api import expect

from protoexplain_app.widgets import script

pytestmark = pytest.mark.browser

PICTURE = "images%2F002"
OVERTAKEN = """async (script) => {
    const take = {}, streams = [], heard = [];
    window.fetch = (place) => new Promise((done) => {
        const [kind, event_id] = place.split("?");
        if (kind === "/queue/join") take[event_id] = () => done(Response.json({ event_id }));
        else streams.push((body) => done(new Response(body)));
    });
    (0, eval)(script);
    const until = async (ready) => { while (!ready()) await new Promise((wait) => setTimeout(wait, 1)); };
    let server;
    const answers = new ReadableStream({ start: (into) => { server = into; } }).pipeThrough(new TextEncoderStream());
    const say = (message) => server.enqueue(`data: ${JSON.stringify(message)}\\n\\n`);
    const a = window.fetch("/queue/join?a"), b = window.fetch("/queue/join?b");
    await until(() => take.a);
    take.a();
    await a;
    await until(() => take.b);
    window.fetch("/queue/data").then(async ({ body }) => {
        for await (const text of body.pipeThrough(new TextDecoderStream())) {
            const { msg, event_id } = JSON.parse(text.slice("data: ".length));
            heard.push(event_id ?? msg);
        }
    });
    streams[0](answers);
    say({ msg: "process_completed", event_id: "b" });
    await until(() => heard.includes("b"));
    take.b();
    await b;
    say({ msg: "process_completed", event_id: "a" });
    say({ msg: "close_stream" });
    await until(() => heard.includes("close_stream") || streams.length > 1);
    return [streams.length, heard];
}"""


def shown(page):
    """What a person sees of the view."""
    return (
        page.locator("#model input").input_value(),
        page.locator("#explained .caption").inner_text(),
        page.locator("#answer h2").inner_text(),
        page.locator("#answer .card").count(),
    )


def test_the_address_follows_what_is_shown_and_opens_it_again(open_page):
    page = open_page()
    before = page.locator("#explained .caption").inner_text()
    page.locator("#pictures .tiles a").nth(2).click()
    expect(page.locator("#pictures .tiles a").nth(2)).to_have_attribute("aria-current", "")
    expect(page.locator("#explained .caption")).not_to_have_text(before)
    page.locator("#classes label").nth(1).click()
    expect(page.locator("#answer h2")).to_have_text(re.compile("^Why not"))
    page.get_by_role("button", name="Settings").first.click()
    page.locator("#rows label", has_text="3").click()
    expect(page.locator("#answer .card")).to_have_count(3)
    page.wait_for_url(re.compile("rows=3"))
    query = page.url.partition("?")[2]
    assert {"model", "image", "tab", "class", "rows"} <= {word.partition("=")[0] for word in query.split("&")}
    again = open_page(f"?{query}")
    expect(again.locator("#answer .card")).to_have_count(3)
    assert shown(again) == shown(page)


def test_back_and_forward_walk_through_pictures_classes_and_tabs(open_page, birds):
    page = open_page()
    picture, answer = page.locator("#explained .caption"), page.locator("#answer h2")
    bird = sorted(birds.glob("images/*/*.jpg"))[0]
    seen = []

    def went(changed=None):
        """What a person sees after the last step, which changed something."""
        if changed is not None:
            expect(changed).not_to_have_text(seen[-1][0 if changed is picture else 1])
        page.wait_for_timeout(300)
        seen.append((picture.inner_text(), answer.inner_text()))

    went()
    page.locator("#pictures .tiles a").nth(1).click()
    went(picture)
    page.locator("#classes label").nth(2).click()
    went(answer)
    page.locator("#own-file").set_input_files(bird)
    expect(picture).to_contain_text(bird.name)
    went()
    page.get_by_role("tab", name="Prototypes").click()
    page.locator("#gallery .prototype-grid a").nth(5).click()
    expect(page.locator(".prototype-details h2")).to_contain_text("Prototype 5")
    page.go_back()
    expect(page.locator("#gallery .prototype-grid li")).to_have_count(16)
    for caption, heading in seen[::-1]:
        page.go_back()
        expect(picture).to_have_text(caption)
        expect(answer).to_have_text(heading)
    for caption, heading in seen[1:]:
        page.go_forward()
        expect(picture).to_have_text(caption)
        expect(answer).to_have_text(heading)
    page.go_forward()
    expect(page.locator("#gallery .prototype-grid li")).to_have_count(16)


def test_going_back_twice_at_once_ends_where_the_second_step_leads(open_page):
    """Even where the first question is held up on its way to the server."""
    page = open_page()
    picture, seen, held = page.locator("#explained .caption"), [], []
    for number in (1, 2):
        seen.append(picture.inner_text())
        page.locator("#pictures .tiles a").nth(number).click()
        expect(picture).not_to_have_text(seen[-1])
    page.wait_for_timeout(300)

    def hold(route):
        first = not held and "query" in (route.request.post_data or "")
        held.append(route) if first else route.continue_()

    page.route("**/queue/join*", hold)
    page.go_back()
    page.go_back()
    page.wait_for_timeout(1500)
    held[0].continue_()
    expect(picture).to_have_text(seen[0])
    page.wait_for_timeout(1500)
    expect(picture).to_have_text(seen[0])


def test_what_is_asked_while_the_stream_of_answers_ends_is_answered(open_page):
    """The stream that the server has ended reaches the page only after the next question was taken."""
    page = open_page()
    picture, tiles = page.locator("#explained .caption"), page.locator("#pictures .tiles a")
    streams, held = [], []
    first = picture.inner_text()
    tiles.nth(2).click()
    expect(picture).not_to_have_text(first)
    last = picture.inner_text()
    page.go_back()
    expect(picture).to_have_text(first)
    page.wait_for_timeout(1000)

    def hold(route):
        streams.append(route)
        if len(streams) == 1:
            held.append(route.fetch())
        else:
            route.continue_()

    later = []
    page.route("**/queue/data*", hold)
    tiles.nth(1).click()
    while not held:
        page.wait_for_timeout(100)
    with page.expect_response("**/queue/join*"):
        tiles.nth(2).click()
    page.wait_for_timeout(300)
    page.route("**/queue/join*", lambda route: later.append(route))
    with page.expect_request("**/queue/data*"):
        streams[0].fulfill(response=held[0])
    page.unroute("**/queue/join*")
    for route in later:
        route.continue_()
    expect(picture).to_have_text(last)


def test_an_answer_may_overtake_the_word_that_its_question_was_taken(chromium):
    """A made-up server answers `b` before it says that it took `b`; it knows one stream, which must not be asked for
    again."""
    page = chromium.new_page()
    streams, heard = page.evaluate(OVERTAKEN, script("theme/in_turn.js"))
    page.close()
    assert streams == 1
    assert heard == ["b", "a", "close_stream"]


def test_a_link_is_copied_and_says_so(open_page, chromium, address):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#copied")).to_have_text("Link copied.")
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_an_upload_is_in_no_link(open_page, birds, address):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    bird = sorted(birds.glob("images/*/*.jpg"))[0]
    page.locator("#own-file").set_input_files(bird)
    expect(page.locator("#explained .caption")).to_contain_text(bird.name)
    page.wait_for_url(re.compile(r"^((?!image=).)*$"))
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#copied")).to_contain_text("your own picture stays with you")


@pytest.mark.parametrize(
    "query",
    [
        "?model=../../etc&image=../../etc/passwd&tab=<script>&class=999&rows=7",
        "?model=%22%3E%3Cimg%20src=x%20onerror=window.hacked=1%3E&class=-1",
        "?" + "a" * 3000,
    ],
)
def test_a_nonsense_link_shows_the_first_view_and_says_so(open_page, query):
    page = open_page(query)
    expect(page.locator("#model input")).to_have_value("a-protopnet: ProtoPNet on sample-birds")
    if "model" in query:
        expect(page.locator("#notices")).to_contain_text("which is not here")
    assert page.evaluate("window.hacked") is None


def test_checkpoints_appear_by_themselves_and_broken_ones_are_told(chromium, checkpoints, birds, tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with running(folder, birds, tmp_path) as address:
        page = chromium.new_page()
        page.goto(address)
        expect(page.locator("#answer [role=alert]")).to_contain_text("There is no checkpoint to explain with.")
        expect(page.locator("#answer [role=alert]")).to_contain_text("--checkpoints")
        shutil.copytree(checkpoints / "a-protopnet", folder / "a-protopnet")
        expect(page.locator("#answer h2")).to_have_text(re.compile("^Why"))
        shown = page.locator("#answer h2").inner_text()
        shutil.copytree(checkpoints / "b-cbc", folder / "b-cbc")
        shutil.copytree(checkpoints / "d-damaged", folder / "d-damaged")
        expect(page.locator(".broken summary")).to_have_text("1 checkpoint cannot be used")
        page.locator("#model input").click()
        expect(page.get_by_role("option", name="Classification-By-Components on sample-birds")).to_be_visible()
        assert page.locator("#answer h2").inner_text() == shown
        page.close()
