"""The app as visitors meet it: start, a click on a new image, a gallery of 2,000 prototypes, sixteen users at once.

The app runs in a process of its own.  Start, click and gallery are timed in headless Chromium on the same machine,
from the press until all pictures of the answer are drawn; the users send what a page sends, see `visitors.py`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch
from playwright.async_api import Browser, Page, async_playwright

from benchmarks.birds import LITE0
from benchmarks.timing import Settings, settings, show
from benchmarks.visitors import crowded
from protoexplain.checkpoint.save import save_checkpoint
from protoexplain.config import parse
from protoexplain.data.dataset_view import view_of_run
from protoexplain.data.loading import batches
from protoexplain.explanations.explainer import Explainer
from protoexplain.models.registry import get_family
from protoexplain.planted import draw
from protoexplain.training import projection
from protoexplain.training.provenance import data_info, provenance

START, FORWARDS, OVERHEAD, GALLERY, GROWTH = 30.0, 3.0, 0.5, 2.0, 100.0
"""Targets: seconds to the first explanation; a click in forward passes and seconds beyond; seconds of the gallery;
MiB that memory grows by in the second half of their time."""
LOOKED_AT = 6.0
"""Seconds that a visitor looks at the first explanation before the next click."""
USERS, SECONDS = 16, 300.0
FLAGS = ("--no-sandbox", "--disable-gpu")
DRAWN = """async ([press, changed, pictures]) => {
    const text = () => document.querySelector(changed)?.innerText ?? "";
    const before = text(), started = performance.now();
    document.querySelector(press).click();
    const drawn = () => {
        const images = [...document.querySelectorAll(pictures)];
        return text() !== before && images.length > 0 && images.every((image) => image.complete);
    };
    while (!drawn()) {
        if (performance.now() - started > 60000) throw new Error(`nothing was drawn after ${press}`);
        await new Promise((wait) => setTimeout(wait, 5));
    }
    return (performance.now() - started) / 1000;
}"""
"""Press something and wait until a text has changed and pictures are drawn: seconds."""
TILE = "#pictures .tiles li:nth-child({}) a"
ANSWER = ("#explained .caption", "#answer img, #explained img")


def make_checkpoint(folder: Path, data: Path, per_class: int, size: int) -> None:
    """A ProtoPNet whose prototypes are parts of training images; its head is not trained."""
    config = parse(
        {
            "family": "protopnet",
            "model": {"backbone": LITE0, "prototypes_per_class": per_class, "feature_norm": True},
            "data": {"path": str(data), "image_size": size, "validation": 0},
        }
    )
    read = view_of_run(config.data)
    torch.manual_seed(0)
    model = get_family("protopnet").build(config.model, len(read.image_set.classes)).eval()
    dataset = read.dataset(read.train, config.data)
    loaded = [(batch.images[:, 0], batch.labels, batch.indices) for batch in batches(dataset, range(len(dataset)), 32)]
    (_, branch), *_ = model.named_branches()
    with torch.inference_mode():
        latent = torch.cat([branch.addon(model.backbone(images)).flatten(2) for images, _, _ in loaded])
        labels = torch.cat([labels for _, labels, _ in loaded])
        for index, owner in enumerate(model.ownership.labels.tolist()):
            own = latent[labels == owner]
            branch.prototypes.data[index, :, 0, 0] = own[index % len(own), :, int(torch.randint(own.shape[2], ()))]
    patches = projection.search(model, loaded)
    projection.replace_prototypes(model, patches)
    described = provenance(model, patches, read.train, read.crop, size, projected=True)
    save_checkpoint(
        folder,
        model=model,
        config=config,
        classes=read.image_set.classes,
        data=data_info(read),
        records=described.records,
        pictures=described.pictures,
        before_projection={},
        metrics={},
    )


@contextmanager
def app(checkpoints: Path, data: Path, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes], float]]:
    """The app: address, process, and when it was started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["-m", "protoexplain", "app", "--checkpoints", checkpoints, "--data", data, "--port", port]
    started = time.perf_counter()
    with (folder / "app.log").open("w+") as log:
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        process = subprocess.Popen([sys.executable, *map(str, words)], stdout=log, stderr=log, env=environment)
        try:
            while "Running on" not in (folder / "app.log").read_text():
                if process.poll() is not None:
                    raise RuntimeError((folder / "app.log").read_text())
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}", process, started
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def watched(process: subprocess.Popen[bytes]) -> Iterator[list[float]]:
    """Resident memory of a process in MiB, four times a second."""
    seen: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.25):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            seen.append(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def forward_seconds(checkpoint: Path, repeats: int) -> float:
    """Wall seconds of one forward pass over one picture: the median."""
    explainer = Explainer(checkpoint)
    picture = torch.rand(1, 3, *[explainer.checkpoint.config.data.image_size] * 2)
    times = []
    with torch.inference_mode():
        for _ in range(repeats + 3):
            started = time.perf_counter()
            explainer.model(picture)
            times.append(time.perf_counter() - started)
    return median(times[3:])


async def opened(browser: Browser, address: str) -> Page:
    """A page of a new visitor, when the first explanation is drawn."""
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    await page.goto(address)
    await page.wait_for_selector("#answer .card img", timeout=120_000)
    return page


async def visit(options: Settings, address: str, process: subprocess.Popen[bytes], started: float, one: float) -> None:
    """All figures of the running app."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = await opened(browser, f"{address}/?model=small")
        usable = time.perf_counter() - started
        await asyncio.sleep(LOOKED_AT)
        count = min(options.repeats, await page.locator("#pictures .tiles a").count() - 1)
        clicks = [await page.evaluate(DRAWN, [TILE.format(tile), *ANSWER]) for tile in range(2, count + 2)]
        click = median(clicks)
        await page.close()

        large = await opened(browser, f"{address}/?model=large")
        asked: list[str] = []
        large.on("request", lambda request: asked.append(request.url) if "/patch/" in request.url else None)
        gallery = await large.evaluate(
            DRAWN, ["#tabs [role=tab][data-tab-id=prototypes]", "#gallery", "#gallery li:nth-child(-n+24) img"]
        )
        tiles, first = await large.locator("#gallery li").count(), len(asked)
        scrolled = await large.evaluate(
            """async () => {
                const last = document.querySelector("#gallery li:last-child img"), started = performance.now();
                last.scrollIntoView();
                while (!(last.complete && last.naturalWidth)) await new Promise((wait) => setTimeout(wait, 5));
                return (performance.now() - started) / 1000;
            }"""
        )
        await browser.close()

    seconds = 5.0 if options.quick else SECONDS
    with watched(process) as memory:
        crowd = crowded(address, "small", USERS, seconds)
    answers = sorted(crowd.answers) or [float("nan")]
    half = len(memory) // 2
    growth = max(memory[half:]) - max(memory[:half])
    show(
        f"the app, load average {os.getloadavg()[0]:.1f}",
        ("", "value"),
        [
            ("from the command to the first explanation drawn, s", usable),
            ("one forward pass, s", one),
            (f"click on a new image to drawn, s (median of {len(clicks)})", click),
            ("the same, slowest", max(clicks)),
            (f"gallery of {tiles} prototypes to drawn, s", gallery),
            ("pictures asked for by then", first),
            ("to the last prototype by scrolling, s", scrolled),
            (f"{USERS} users for {seconds:.0f} s: answers", len(crowd.answers)),
            ("median answer, s", median(answers)),
            ("95th percentile, s", answers[int(0.95 * (len(answers) - 1))]),
            (f"of {len(crowd.jobs)} reports and edits to the end, s (median)", median(crowd.jobs or [float("nan")])),
            ("the same, not begun or not ended in time", crowd.unfinished),
            ("errors", len(crowd.troubles)),
            ("memory at the start / peak, MiB", f"{memory[0]:.0f} / {max(memory):.0f}"),
            ("growth of the peak in the second half, MiB", growth),
        ],
    )
    for trouble in dict.fromkeys(crowd.troubles):
        print(trouble)
    options.verdict("start to usable page, s", usable, START)
    options.verdict(
        f"click to drawn, s, at {FORWARDS:g} forward passes + {OVERHEAD} s", click, FORWARDS * one + OVERHEAD
    )
    options.verdict("gallery, s", gallery, GALLERY)
    options.verdict("errors", float(len(crowd.troubles)), 0.0)
    options.verdict("growth of memory, MiB", growth, GROWTH)


def main() -> None:
    options = settings(__doc__, repeats=15)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        classes, size, many = (4, 96, 50) if options.quick else (20, 224, 100)
        draw(folder / "birds", classes=classes, train_per_class=8, test_per_class=3, size=size)
        make_checkpoint(folder / "models" / "small", folder / "birds", 10, size)
        make_checkpoint(folder / "models" / "large", folder / "birds", many, size)
        one = forward_seconds(folder / "models" / "small", options.repeats)
        with app(folder / "models", folder / "birds", folder) as (address, process, started):
            asyncio.run(visit(options, address, process, started, one))


if __name__ == "__main__":
    main()
