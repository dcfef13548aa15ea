"""Starting the app: where it may be reached, what must be there, and what it answers beside the page."""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from protoexplain.cli.main import main
from protoexplain.errors import UserError
from protoexplain_app.auth import add_user
from protoexplain_app.guard import HEADERS
from protoexplain_app.jobs import Job, JobKey, JobQueue, JobState
from protoexplain_app.models import mark_of
from protoexplain_app.network import listen
from protoexplain_app.server import _answer, _empty_working_folder, _warm_up, create_app, serve
from protoexplain_app.tabs.report.reports import ReportFiles, Reports


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])  # noqa: S104
def test_addresses_that_others_can_reach_need_a_login(folder, host):
    with pytest.raises(UserError, match="other computers"):
        serve(folder, None, host, None)


def test_a_taken_port_is_told(folder):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(UserError, match="is taken"):
            serve(folder, None, "127.0.0.1", holder.getsockname()[1])


def test_the_command_ends_with_2_where_the_port_is_taken(folder, monkeypatch, capsys):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["protoexplain", "app", "--checkpoints", str(folder), "--port", str(port)])
        with pytest.raises(SystemExit) as stop:
            main()
    told = capsys.readouterr()
    assert stop.value.code == 2
    assert f"port {port} is taken" in told.err
    assert "--port 0" in told.err
    assert "Running on" not in told.out


def test_a_server_that_does_not_start_is_told(monkeypatch, capsys):
    monkeypatch.setattr(uvicorn.Server, "run", lambda server, sockets: None)
    with listen("127.0.0.1", 0) as door, pytest.raises(UserError, match="cannot be started on port"):
        _answer(FastAPI(), "127.0.0.1", door)
    assert capsys.readouterr().out == ""


def test_the_empty_folder_is_left_before_it_is_removed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    at_removal, cleanup = [], tempfile.TemporaryDirectory.cleanup
    removed = lambda folder: (at_removal.append(Path.cwd()), cleanup(folder))  # noqa: E731
    monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", removed)
    with _empty_working_folder():
        empty = Path.cwd()
        assert (empty != tmp_path, list(empty.iterdir())) == (True, [])
    assert not empty.exists()
    assert len(at_removal) == 1
    assert not at_removal[0].is_relative_to(empty)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        serve(tmp_path / "nothing", None, "127.0.0.1", None)


def test_a_missing_package_is_told_with_the_command_that_installs_it(folder, monkeypatch):
    monkeypatch.setattr("protoexplain_app.server.find_spec", lambda name: None)
    with pytest.raises(UserError) as refused:
        create_app(folder, mcp=True)
    assert refused.value.fix == "pip install 'gradio[mcp]'"


@pytest.fixture(scope="module")
def reports():
    """Those of the server, once it was made."""
    return []


@pytest.fixture(scope="module")
def client(made, birds, reports):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("protoexplain_app.server.Reports", lambda jobs: reports.append(Reports(jobs)) or reports[-1])
        site = create_app(made, birds)
    with TestClient(site, "http://127.0.0.1", client=("127.0.0.1", 50000)) as client:
        until = time.monotonic() + 60
        while client.get("/readyz").status_code != 200 and time.monotonic() < until:
            time.sleep(0.1)
        yield client


def test_the_first_picture_is_explained_by_one_pass_before_anybody_asks(library, monkeypatch):
    passes, model = [], library.store.explainer("a-protopnet").model
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)
    model.backbone.register_forward_hook(lambda *_: passes.append(1))
    _warm_up(library)
    assert len(passes) == 1


def test_health_and_readiness_are_told_apart(client, tmp_path):
    assert client.get("/healthz").json() == {"alive": True}
    assert client.get("/readyz").json() == {"ready": True, "checkpoints": 2, "broken": 0}
    with TestClient(create_app(tmp_path)) as empty:
        assert empty.get("/healthz").status_code == 200
        assert empty.get("/readyz").status_code == 503


def test_pictures_of_prototypes_are_served_for_ever(client, store):
    checkpoint = store.listed("a-protopnet").checkpoint
    answer = client.get(f"/prototype/{mark_of(checkpoint)}/patch/3")
    assert answer.content == checkpoint.picture(3, "patch")
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("place", ["preview", "file.html", "file.pdf", "file.json"])
def test_a_served_report_is_what_it_says_and_runs_nothing(client, reports, tmp_path, place):
    files = {ending: tmp_path / f"file{ending}" for ending in (".html", ".pdf", ".json")}
    for path in files.values():
        path.write_text("<script>alert(1)</script>")
    made = Job(JobState.FINISHED, result=ReportFiles("token", "report-x", files))
    reports[0].jobs.remember(JobKey("report", "token"), made)
    answer = client.get(f"/report/token/{place}")
    assert (answer.status_code, answer.text) == (200, "<script>alert(1)</script>")
    told = {name: answer.headers[name] for name in HEADERS}
    policy = told["Content-Security-Policy"]
    assert told == {**HEADERS, "Content-Security-Policy": policy}
    assert told["X-Content-Type-Options"] == "nosniff"
    assert policy.startswith("sandbox; default-src 'none';")
    assert "script" not in policy
    assert answer.headers["cache-control"] == "private, no-store"
    kinds = {"preview": "text/html", "file.html": "text/html", "file.pdf": "application/pdf"}
    assert answer.headers["content-type"].partition(";")[0] == kinds.get(place, "application/json")


@pytest.mark.parametrize(
    "path",
    [
        "/prototype/{mark}/patch/999",
        "/prototype/{mark}/patch/-1",
        "/prototype/{mark}/model.safetensors/0",
        "/prototype/{mark}/patch/..%2f..%2fconfig.yaml",
        "/prototype/0000000000000000/patch/0",
        "/thumbnail/..%2f..%2fetc%2fpasswd",
        "/thumbnail/000000000000000000000000",
        "/docs",
        "/monitoring",
    ],
)
def test_nothing_else_is_served(client, store, path):
    mark = mark_of(store.listed("a-protopnet").checkpoint)
    assert client.get(path.format(mark=mark)).status_code in (403, 404, 422)


def test_the_app_can_be_mounted_in_another_one(made, birds):
    birds_app = create_app(made, birds)
    site = FastAPI(lifespan=birds_app.router.lifespan_context)
    site.mount("/birds", birds_app)
    with TestClient(site) as client:
        assert client.get("/birds/healthz").json() == {"alive": True}
        page = client.get("/birds/").text
        assert "This part looks like that part" in page


def test_jobs_end_with_the_server(made, birds, monkeypatch):
    queues, never = [], threading.Event()
    monkeypatch.setattr("protoexplain_app.server.JobQueue", lambda access: queues.append(JobQueue()) or queues[-1])
    site, key = create_app(made, birds), JobKey("survey", "model")
    with TestClient(site) as client:
        client.get("/healthz")
        (jobs,) = queues
        jobs.submit(key, lambda job: [job.progress("looking", 0, 1) for _ in iter(lambda: never.wait(0.01), True)])
        assert jobs.find(key).under_way
    until = time.monotonic() + 10
    while jobs.find(key).under_way and time.monotonic() < until:
        time.sleep(0.01)
    assert jobs.find(key).state == JobState.CANCELLED


def test_with_a_login_nothing_but_health_is_seen_without_it(made, birds, tmp_path, store, examples):
    users = tmp_path / "users"
    add_user(users, "ada", "a long password")
    checkpoint = store.listed("a-protopnet").checkpoint
    places = [f"/prototype/{mark_of(checkpoint)}/patch/0", f"/thumbnail/{examples.of(checkpoint)[0].token}"]
    with TestClient(create_app(made, birds, users)) as client:
        assert [client.get(place).status_code for place in [*places, "/gradio_api/info"]] == [401, 401, 401]
        assert "This part looks like that part" not in client.get("/").text
        assert client.get("/healthz").status_code == 200
        wrong = client.post("/login", data={"username": "ada", "password": "a wrong password"})
        assert wrong.status_code == 400
        right = client.post("/login", data={"username": "ada", "password": "a long password"})
        assert right.status_code == 200
        client.get("/readyz")
        assert [client.get(place).status_code for place in [*places, "/gradio_api/info"]] == [200, 200, 200]
        assert "This part looks like that part" in client.get("/").text
