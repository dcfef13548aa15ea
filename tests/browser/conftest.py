"""The app with all kinds of checkpoints, and Chromium pages that remember everything that went wrong in them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from app_process import running
from playwright.sync_api import expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
from sample_checkpoints import PROTOPNET, sample_checkpoint, samples

HOSTILE = '"><img src=x onerror="window.hacked=1">{{7*7}}${7*7}'
SHOWS_WITHIN = 60_000
expect.set_options(timeout=SHOWS_WITHIN)
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@pytest.fixture(scope="session")
def birds(shared_folder):
    return samples(shared_folder)[0]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory, shared_folder, birds):
    """ProtoPNet, CBC, a ProtoPNet with a hostile class name, and a damaged one."""
    folder = shutil.copytree(samples(shared_folder)[1], tmp_path_factory.mktemp("app") / "checkpoints")
    sample_checkpoint(folder / "c-hostile", birds, PROTOPNET, class_names=dict.fromkeys(range(4), HOSTILE))
    shutil.copytree(folder / "a-protopnet", folder / "d-damaged")
    weights = folder / "d-damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    return folder


@pytest.fixture(scope="session")
def address(checkpoints, birds, tmp_path_factory):
    """Where the app answers that has all checkpoints."""
    with running(checkpoints, birds, tmp_path_factory.mktemp("log")) as found:
        yield found


@pytest.fixture(scope="session")
def chromium():
    path = os.environ.get("PROTOEXPLAIN_CHROMIUM") or shutil.which("chromium")
    if not path:
        pytest.fail("these tests drive Chromium: apt install chromium, or name it in PROTOEXPLAIN_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser.new_context()
        browser.close()


@pytest.fixture(scope="session")
def tabs():
    """Tabs that were left: one that had the page before opens it again in half the time that a new one takes."""
    return []


@pytest.fixture
def open_page(chromium, address, tabs):
    """Opens pages; when the test is over, none of them may have had an error or asked another computer.

    The page has opened when `shows` is there.  `may_fail` allows one page the errors that the browser itself reports
    for a refused request.
    """
    troubles, opened_ones = [], []

    def opened(query="", shows="#answer h2", width=1280, height=900, may_fail=False):
        listeners = {
            "pageerror": lambda error: troubles.append(f"error: {error}"),
            "dialog": lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()),
            "request": lambda r: troubles.append(f"external: {r.url}") if _external(r.url, address) else None,
            "requestfailed": lambda r: troubles.append(f"failed: {r.url}") if not _ended(r) else None,
        }
        if not may_fail:
            listeners["console"] = lambda m: troubles.append(f"console: {m.text}") if m.type == "error" else None
            listeners["response"] = lambda r: troubles.append(f"{r.status}: {r.url}") if r.status >= 400 else None
        page = tabs.pop() if tabs else chromium.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.set_default_timeout(SHOWS_WITHIN)
        for event, listener in listeners.items():
            page.on(event, listener)
        opened_ones.append((page, listeners))
        page.goto(f"{address}/{query}")
        page.locator(shows).first.wait_for()
        return page

    yield opened
    for page, listeners in opened_ones:
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
        page.goto("about:blank")
        tabs.append(page)
    assert troubles == []


def _external(url, address):
    return not url.startswith((address, "data:", "blob:"))


def _ended(request):
    """The stream of events, which the page closes itself when all is told, and the sign of life, which ends with it; or
    a question that was being asked, as by a clock, when the page was left.
    """
    asked = "/queue/join" in request.url and request.failure == "net::ERR_ABORTED"
    return asked or "/queue/data" in request.url or "/heartbeat/" in request.url
