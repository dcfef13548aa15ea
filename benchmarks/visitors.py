"""Visitors of the app without a browser: they send what its page sends, so that many of them cost next to nothing."""

from __future__ import annotations

import html
import json
import random
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import httpx

WITHIN = 60.0
"""Seconds for an answer."""
BUSY = ("Other reports are being made", "queue is full")
"""What the page says where others have asked for much; none of it is a fault."""
PROTOTYPES = 10
"""Of the first ones, visitors look at some."""
POLL = 0.7
"""Seconds between two questions of a page how far a job is."""
_PICTURE = re.compile(r'href="\?([^"]*image=[^"]*)"')
_SOURCE = re.compile(r'src="((?:prototype|thumbnail)/[^"]+)"')


@dataclass
class Crowd:
    """What happened to the visitors.

    Args:
        answers: Seconds of each answer.
        jobs: Seconds of each report and each edit until its end.
        unfinished: How many of these could not begin, or did not end in the visitors' time.
        troubles: What went wrong.
    """

    answers: list[float] = field(default_factory=list)
    jobs: list[float] = field(default_factory=list)
    unfinished: int = 0
    troubles: list[str] = field(default_factory=list)


class Visitor:
    """One session of the page.

    Args:
        client: Speaks to the app.
        model: Name of the model that is looked at.
    """

    def __init__(self, client: httpx.Client, model: str) -> None:
        self.client = client
        self.session, self.model, self._metrics = uuid.uuid4().hex[:10], model, ""
        self.client.get("/").raise_for_status()
        config = self.client.get("/config").json()
        self._ids = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
        self._events = config["dependencies"]
        first = self.send("load", "pictures")
        self.pictures = [html.unescape(link) for link in _PICTURE.findall(first["pictures"])]

    def explain(self, link: str) -> str:
        """Choose a picture and have it explained."""
        self.go(f"{link}&model={self.model}&tab=explain")
        return str(self.send("change", "answer", 5, "map")["answer"])

    def what_if(self, link: str, turns: float) -> str:
        """Choose a picture and change its hue."""
        self.go(f"{link}&model={self.model}&tab=what_if&hue={turns:.2f}")
        return str(self.send("change", "what-if-answer")["what-if-answer"])

    def prototype(self, number: int) -> str:
        """Open the page of a prototype."""
        self.go(f"model={self.model}&tab=prototypes&prototype={number}")
        return str(self.send("change", "prototype-details")["prototype-details"])

    def metrics(self) -> str:
        """Look at what was measured; the page is sent only where it is not shown already."""
        self.go(f"model={self.model}&tab=metrics")
        shown = self.send("change", "metrics-report")["metrics-report"]
        self._metrics = shown if isinstance(shown, str) else self._metrics
        return self._metrics

    def quiz(self, seed: int) -> str:
        """Begin the quiz and answer its first question."""
        self.go(f"model={self.model}&tab=quiz")
        self.send("change", "quiz")
        self.ask("quiz", "quiz", f"do=start&task=distinction&length=10&seed={seed}")
        return self.ask("quiz", "quiz", "do=answer&number=1&answer=0")

    def report(self, link: str) -> str:
        """Choose a picture and begin a report with it."""
        self.go(f"{link}&model={self.model}&tab=report")
        self.send("change", "report-status")
        return self.ask("report-query", "report-status", "do=make&section_model=1&section_images=1&chosen=1")

    def edit(self, number: int) -> str:
        """Try out what the model is without a prototype."""
        self.go(f"model={self.model}&tab=edit")
        self.send("change", "edit-overview")
        self.ask("edit-overview", "edit-overview", "do=undo")
        self.ask("edit-gallery", "edit-one", f"open={number}")
        self.ask("edit-one", "edit-overview", f"do=remove&prototype={number}&reason=other")
        return self.ask("edit-overview", "edit-overview", "do=refit")

    def keep_asking(self, shows: str, page: str, until: float) -> str:
        """Ask how far a job is until it is over, or until a moment of `time.perf_counter`: the last page."""
        while "<progress" in page and time.perf_counter() < until:
            time.sleep(POLL)
            page = str(self.send("tick", shows)[shows])
        return page

    def fetch(self, page: str) -> None:
        """Ask for all pictures of an answer that are not in it."""
        for source in set(_SOURCE.findall(page)):
            self.client.get(f"/{source}").raise_for_status()

    def send(
        self, event: str, shows: str, *values: object, told: Mapping[str, object] | None = None, of: str | None = None
    ) -> dict[str, Any]:
        """Trigger an event, as `begin`, and wait for its answer.

        Returns:
            Element -> what it shows now.
        """
        found, asked = self.begin(event, shows, *values, told=told, of=of)
        output = self._answer(asked)
        return {
            self._ids[part]: value for part, value in zip(found["outputs"], output, strict=False) if self._ids[part]
        }

    def begin(
        self, event: str, shows: str, *values: object, told: Mapping[str, object] | None = None, of: str | None = None
    ) -> tuple[Mapping[str, Any], str]:
        """Trigger the event whose outputs include an element; values are those of the inputs that are no state, `told`
        is what the page's script tells beside them, and `of` the element that it happens to where others show the same.

        Returns:
            The event as the page describes it, and the name of this one.
        """
        found = next(
            one
            for one in self._events
            if any(name == event and of in (None, self._ids.get(part)) for part, name in one["targets"])
            and shows in map(self._ids.get, one["outputs"])
        )
        left = list(values)
        data = [left.pop(0) if self._ids[part] and left else None for part in found["inputs"]]
        body = {"data": data, "event_data": told, "fn_index": found["id"], "session_hash": self.session}
        joined = self.client.post("/gradio_api/queue/join", json=body)
        joined.raise_for_status()
        return found, str(joined.json()["event_id"])

    def listen(self) -> AbstractContextManager[httpx.Response]:
        """The stream of answers, for as long as the page is open."""
        return self.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.session})

    def ask(self, of: str, shows: str, query: str) -> str:
        """Send a form, and see what another part of the page shows then."""
        return str(self.send("query", shows, told={"query": query}, of=of)[shows])

    def go(self, query: str) -> None:
        """Follow a link inside the page."""
        self.send("go", "address", told={"query": f"?{query}", "upload": None})

    def _answer(self, event: str) -> list[Any]:
        with self.listen() as stream:
            for line in stream.iter_lines():
                told = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if told.get("msg") == "process_completed" and told.get("event_id") == event:
                    if not told["success"]:
                        raise RuntimeError(str(told["output"]))
                    return list(told["output"]["data"])
        raise RuntimeError("the app stopped telling")


def visit(address: str, model: str, crowd: Crowd, seconds: float, seed: int) -> None:
    """Explain, change, look up, answer and begin work for some time, with a moment to read in between."""
    draws = random.Random(seed)
    until = time.perf_counter() + seconds
    try:
        visitor = Visitor(httpx.Client(base_url=address, timeout=WITHIN), model)
        while time.perf_counter() < until:
            (deed,) = draws.choices(list(DEEDS), DEEDS.values())
            started = time.perf_counter()
            page, expected, job = deed(visitor, draws)
            visitor.fetch(page)
            crowd.answers.append(time.perf_counter() - started)
            if job:
                page = visitor.keep_asking(job, page, until)
                if "<progress" in page or any(words in page for words in BUSY):
                    crowd.unfinished += 1
                    continue
                crowd.jobs.append(time.perf_counter() - started)
            if expected not in page:
                crowd.troubles.append(f"an answer without '{expected}': {page[:200]}")
            time.sleep(draws.uniform(0.5, 1.5))
    except (httpx.HTTPError, RuntimeError, StopIteration, KeyError) as error:
        crowd.troubles.append(f"{type(error).__name__}: {error}")


def _explain(visitor: Visitor, draws: random.Random) -> Deed:
    return visitor.explain(draws.choice(visitor.pictures)), "<h2>Why ", ""


def _what_if(visitor: Visitor, draws: random.Random) -> Deed:
    return visitor.what_if(draws.choice(visitor.pictures), draws.uniform(-0.4, 0.4)), "The model", ""


def _metrics(visitor: Visitor, draws: random.Random) -> Deed:
    return visitor.metrics(), "<h2", ""


def _prototype(visitor: Visitor, draws: random.Random) -> Deed:
    number = draws.randrange(PROTOTYPES)
    return visitor.prototype(number), f"/patch/{number}", ""


def _quiz(visitor: Visitor, draws: random.Random) -> Deed:
    return visitor.quiz(draws.randrange(1000)), "Question 2 of 10", ""


def _report(visitor: Visitor, draws: random.Random) -> Deed:
    return visitor.report(draws.choice(visitor.pictures)), "The report is made", "report-status"


def _edit(visitor: Visitor, draws: random.Random) -> Deed:
    return visitor.edit(draws.randrange(PROTOTYPES)), "Before and after", "edit-overview"


Deed = tuple[str, str, str]
"""A page, what it says when all is well, and where a job is told of that it began; empty where it began none."""
DEEDS: Mapping[Callable[[Visitor, random.Random], Deed], float] = {
    _explain: 50,
    _what_if: 15,
    _prototype: 10,
    _quiz: 10,
    _metrics: 5,
    _report: 5,
    _edit: 5,
}
"""What visitors do, and how often among a hundred."""


def crowded(address: str, model: str, users: int, seconds: float) -> Crowd:
    """Some visitors at once."""
    crowd = Crowd()
    threads = [threading.Thread(target=visit, args=(address, model, crowd, seconds, seed)) for seed in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return crowd
