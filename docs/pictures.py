"""Make the pictures of the README from the shipped checkpoints: python docs/pictures.py

The picture of the app needs a Chromium; give its path in PROTOEXPLAIN_CHROMIUM where it is not `chromium`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from protoexplain.planted import draw, plan, render

IMAGES = Path(__file__).parent / "images"
CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
PAGES = {
    "app": ("tab=explain", "#answer h2"),
    "app-what-if": ("tab=what_if&hue=0.1", "#what-if-prototypes"),
    "app-prototypes": ("tab=prototypes", "#tab-prototypes img"),
    "app-edit": ("tab=edit&class=9&prototype=31", "#tab-edit .candidates img"),
}
"""Name of a picture -> the page's address, and what it shows when it is ready."""


def twins(size: int = 224, columns: int = 6) -> None:
    """Five pairs of twins, one for each kind of attribute; the same pose and light in each column of a pair."""
    planned = plan(20, 0)
    rows = []
    for pair in planned.twins[:5]:
        for label in pair.classes:
            rows.append(np.hstack([render(planned.birds[label], [7, 100 + k], size).image for k in range(columns)]))
    paired = [np.hstack([rows[i][:, : size * 3], rows[i + 1][:, : size * 3]]) for i in range(0, len(rows), 2)]
    Image.fromarray(np.vstack(paired)).save(IMAGES / "planted-birds.jpg", quality=88)


def first_test_image(data: Path) -> Path:
    """Of the embedded data set."""
    listed = dict(line.split() for line in (data / "train_test_split.txt").read_text().splitlines())
    names = dict(line.split() for line in (data / "images.txt").read_text().splitlines())
    return next(data / "images" / names[i] for i, train in listed.items() if train == "0")


def sheets(data: Path) -> None:
    """One explanation by ProtoPNet and one by CBC of the same test image."""
    image = first_test_image(data)
    for family in ("protopnet", "cbc"):
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, "-m", "protoexplain", "explain", str(CHECKPOINTS / f"planted-{family}")]
            subprocess.run([*command, str(image), "--data", str(data), "--rows", "4", "--out", out], check=True)  # noqa: S603
            shutil.copy(Path(out) / f"{image.stem}.png", IMAGES / f"explain-{family}.png")


def app(data: Path) -> None:
    """Some pages of the app."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, image = f"http://127.0.0.1:{port}", quote(str(first_test_image(data).relative_to(data)), safe="")
    command = [sys.executable, "-m", "protoexplain", "app", "--checkpoints", str(CHECKPOINTS), "--data", str(data)]
    server = subprocess.Popen([*command, "--port", str(port)])  # noqa: S603
    try:
        _wait_for(url)
        with sync_playwright() as playwright:
            chromium = os.environ.get("PROTOEXPLAIN_CHROMIUM") or shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for name, (query, shows) in PAGES.items():
                page = browser.new_page(viewport={"width": 1280, "height": 1000})
                page.goto(f"{url}/?model=planted-protopnet&image={image}&{query}")
                page.locator(shows).first.wait_for(timeout=180_000)
                page.wait_for_timeout(3000)
                page.screenshot(path=IMAGES / f"{name}.png")
            browser.close()
    finally:
        server.terminate()


def report(data: Path) -> None:
    """The first explained picture of a report."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as out, sync_playwright() as playwright:
        page_file = Path(out) / "report.html"
        command = [sys.executable, "-m", "protoexplain", "report", str(CHECKPOINTS / "planted-protopnet")]
        command += [str(first_test_image(data)), "--data", str(data), "--out", str(page_file)]
        subprocess.run(command, check=True)  # noqa: S603
        chromium = os.environ.get("PROTOEXPLAIN_CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        page.goto(f"{page_file.as_uri()}#images")
        page.screenshot(path=IMAGES / "report.jpg", quality=85)
        browser.close()


def _wait_for(url: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=2)  # noqa: S310
            return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(url)


if __name__ == "__main__":
    IMAGES.mkdir(parents=True, exist_ok=True)
    twins()
    with tempfile.TemporaryDirectory() as folder:
        birds = Path(folder) / "planted-birds"
        draw(birds)
        sheets(birds)
        report(birds)
        app(birds)
