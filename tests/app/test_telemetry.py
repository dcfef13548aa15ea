"""What the app counts, and who may read it."""

from __future__ import annotations

import base64
import re

import pytest
from fastapi.testclient import TestClient

from protoexplain.errors import UserError
from protoexplain_app.auth import add_user, basic
from protoexplain_app.jobs import JobKey
from protoexplain_app.server import create_app
from protoexplain_app.telemetry import REGISTRY
from protoexplain_app.widgets import show_errors

HERE = ("127.0.0.1", 50000)


def value(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


def at(app, client=HERE, host="http://127.0.0.1"):
    return TestClient(app, host, client=client)


@pytest.fixture(scope="module")
def app(made, birds):
    return create_app(made, birds)


def test_programs_on_this_computer_read_the_figures_and_others_do_not(app):
    asks = at(app)
    asks.get("/healthz")
    asks.request("BREW", "/thumbnail/none/at/all")
    answer = asks.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert re.search(
        r'protoexplain_http_request_seconds_count{method="GET",route="/healthz",status="200"} [1-9]', answer.text
    )
    assert 'method="other",route="other"' in answer.text
    assert "process_resident_memory_bytes" in answer.text
    assert at(app, ("203.0.113.9", 1)).get("/metrics").status_code == 401
    assert at(app, host="http://attacker.example").get("/metrics").status_code == 401


def test_with_a_login_programs_give_name_and_password(made, birds, tmp_path):
    add_user(tmp_path / "users", "ada", "a long password")
    asks = at(create_app(made, birds, tmp_path / "users"))
    assert asks.get("/metrics").status_code == 401
    assert "Basic" in asks.get("/metrics").headers["www-authenticate"]
    assert asks.get("/metrics", auth=("ada", "a wrong password")).status_code == 401
    assert "protoexplain_jobs" in asks.get("/metrics", auth=("ada", "a long password")).text


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!", "Basic /w==", "Bearer YTpi"])
def test_headers_that_are_no_password(header):
    assert basic(header) == ("", "")


def test_a_password_may_hold_colons():
    assert basic("basic " + base64.b64encode("zoë:a:b".encode()).decode()) == ("zoë", "a:b")


def test_events_are_counted_by_what_became_of_them():
    outcomes = {"answered": None, "refused": UserError("no"), "failed": ValueError("oh")}

    def action(error):
        if error:
            raise error

    name = f"{action.__module__}.action"
    action.__module__ = f"app.{action.__module__}.tab"
    before = {key: value("protoexplain_event_seconds_count", event=name, outcome=key) for key in outcomes}
    for error in outcomes.values():
        show_errors(action, lambda message: message)(error)
    after = {key: value("protoexplain_event_seconds_count", event=name, outcome=key) for key in outcomes}
    assert after == {key: count + 1 for key, count in before.items()}


def test_jobs_are_counted_while_they_wait_and_run_and_when_they_are_over(jobs):
    from test_jobs import ended, until

    first, second = JobKey("counted", 1), JobKey("counted", 2)
    steps = []

    def work(job):
        steps.append(job)
        until(lambda: len(steps) > 1)

    jobs.submit(first, work)
    jobs.submit(second, lambda job: None)
    until(lambda: steps)
    states = ("waiting", "running")
    assert [value("protoexplain_jobs", kind="counted", state=state) for state in states] == [1, 1]
    steps.append(None)
    ended(jobs, second)
    until(lambda: value("protoexplain_jobs_over_total", kind="counted", state="finished") == 2)
    assert [value("protoexplain_jobs", kind="counted", state=state) for state in states] == [0, 0]


def test_models_are_counted_when_they_are_loaded(store):
    before = value("protoexplain_model_load_seconds_count", outcome="answered")
    store.explainer("a-protopnet")
    store.explainer("a-protopnet")
    assert value("protoexplain_model_load_seconds_count", outcome="answered") == before + 1
