"""What stands before every request: size, origin, login, routes that nobody needs; and the headers of every answer."""

from __future__ import annotations

import asyncio
import re

import pytest
from fastapi.testclient import TestClient

from protoexplain_app.auth import add_user
from protoexplain_app.guard import HEADERS, LARGEST_BODY, Guard, foreign
from protoexplain_app.server import create_app

OPEN = {"/", "/login", "/config", "/favicon.ico", "/theme.css", "/robots.txt", "/manifest.json"}
"""What the page of the login is made of; Gradio itself keeps the configuration back."""
ADVISORIES = [
    "GET /gradio_api/file=/etc/passwd",
    "GET /gradio_api/file=../../../../etc/passwd",
    "GET /gradio_api/file/..%2f..%2f..%2fetc/passwd",
    "GET /gradio_api/file=C:/windows/win.ini",
    "GET /gradio_api/file=http://127.0.0.1:22/",
    "GET /gradio_api/file=https://attacker.example/",
    "GET /file=/etc/passwd",
    "GET /gradio_api/proxy=http://127.0.0.1:22/",
    "GET /proxy=http://127.0.0.1:22/",
    "POST /gradio_api/component_server",
    "POST /component_server",
    "GET /gradio_api/custom_component/x/client/component/..%2f..%2f..%2fetc%2fpasswd",
    "GET /static/..%2f..%2f..%2fetc%2fpasswd",
    "GET /assets/..%2f..%2f..%2fetc%2fpasswd",
    "GET /svelte/..%2f..%2f..%2fetc%2fpasswd",
    "POST /gradio_api/stream/guessed",
    "GET /gradio_api/stream/session/1/2/playlist-file",
    "POST /gradio_api/run/predict",
    "POST /gradio_api/api/explain",
    "POST /gradio_api/vibe-edit",
    "POST /gradio_api/vibe-code",
    "GET /gradio_api/dev/reload",
    "GET /gradio_api/runs",
    "GET /gradio_api/run-history/records",
    "GET /gradio_api/deep_link",
    "GET /monitoring",
    "GET /monitoring/summary",
    "GET //gradio_api/file=/etc/passwd",
    "GET /gradio_api//file=/etc/passwd",
    "GET /gradio_api/queue/../file=/etc/passwd",
    "GET /gradio_api/call/../file=/etc/passwd",
    "GET /gradio_api/%66ile=/etc/passwd",
]
"""Published weaknesses of Gradio, tried as they were: files, addresses of others, parts of the page called directly."""


@pytest.fixture(scope="module")
def client(made, birds):
    return TestClient(create_app(made, birds), "http://127.0.0.1", client=("127.0.0.1", 50000))


@pytest.fixture(scope="module")
def closed(made, birds, tmp_path_factory):
    users = tmp_path_factory.mktemp("guard") / "users"
    add_user(users, "ada", "a long password")
    return TestClient(create_app(made, birds, users), "http://127.0.0.1", client=("127.0.0.1", 50000))


@pytest.mark.parametrize(
    "path",
    ["/", "/config", "/healthz", "/theme.css", "/thumbnail/none", "/report/none/file.pdf", "/gradio_api/file=x"],
)
def test_every_answer_says_what_browsers_may_do_with_it(client, path):
    headers = client.get(path).headers
    assert {name: headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("what", ADVISORIES)
def test_published_weaknesses_are_none_here(client, what):
    method, _, path = what.partition(" ")
    answer = client.request(method, path, json={"data": [], "component_id": 1, "fn_name": "x", "session_hash": "x"})
    assert answer.status_code in (403, 404, 405)
    assert "root:" not in answer.text


def test_a_request_that_is_too_long_is_refused_before_it_is_read(client):
    headers = {"Content-Length": str(LARGEST_BODY + 1), "Content-Type": "application/json"}
    for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/login"):
        assert client.post(path, content=b"", headers=headers).status_code == 413
    assert client.post("/login", content=b"", headers={"Content-Length": "-1"}).status_code in (400, 413)


def test_one_that_does_not_say_how_long_it_is_ends_at_the_limit():
    read = []

    async def app(scope, receive, send):
        while (message := await receive())["type"] != "http.disconnect":
            read.append(len(message["body"]))

    async def receive():
        return {"type": "http.request", "body": bytes(1 << 20), "more_body": True}

    scope = {"type": "http", "method": "POST", "path": "/login", "headers": [], "root_path": ""}
    asyncio.run(Guard(app, lambda request: True)(scope, receive, None))
    assert LARGEST_BODY - (1 << 20) < sum(read) <= LARGEST_BODY


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1"}, True),
        ({"origin": "http://127.0.0.1", "host": "127.0.0.1"}, False),
        ({"origin": "https://birds.example", "host": "127.0.0.1", "x-forwarded-host": "birds.example"}, False),
        ({"origin": "http://127.0.0.1:8000", "host": "127.0.0.1:7860"}, True),
        ({"origin": "https://attacker.example", "host": "127.0.0.1"}, True),
        ({"origin": "null", "host": "127.0.0.1"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://[", "host": "127.0.0.1"}, True),
    ],
)
def test_pages_of_other_sites_start_nothing(headers, refused):
    assert foreign(headers) is refused


def test_they_are_refused_by_the_server(client):
    body = {"data": [], "fn_index": 0, "session_hash": "x"}
    answer = client.post("/gradio_api/queue/join", json=body, headers={"Origin": "https://attacker.example"})
    assert answer.status_code == 403
    assert client.get("/healthz", headers={"Origin": "https://attacker.example"}).status_code == 200


def routes_of(app):
    """Method and path of all routes, Gradio's included, with something in the place of each parameter."""
    for route in app.routes:
        inner = getattr(route, "original_router", None) or getattr(route, "app", None)
        if hasattr(inner, "routes"):
            yield from routes_of(inner)
        else:
            for method in getattr(route, "methods", None) or ():
                yield method, re.sub(r"\{[^}]*\}", "1", route.path)


def test_no_route_is_open_without_the_login(closed):
    asked = sorted(set(routes_of(closed.app)))
    assert len(asked) > 60
    assert ("POST", "/gradio_api/queue/join") in asked
    found = {path.rstrip("/") or "/" for method, path in asked if closed.request(method, path).status_code < 400}
    assert found <= OPEN | {"/healthz", "/readyz", "/gradio_api/user", "/gradio_api/app_id", "/gradio_api/theme.css"}


def test_the_page_works_with_the_login(closed):
    closed.post("/login", data={"username": "ada", "password": "a long password"})
    assert closed.get("/config").json()["components"]
    assert closed.get("/gradio_api/info").status_code == 200
