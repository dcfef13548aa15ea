"""Who may do what: roles by account, by address, and what a visitor who may only look gets from the server, which is
asked as an attacker would ask it: by its events, whatever the page offers."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import pytest
import uvicorn

from benchmarks.visitors import Visitor
from protoexplain.errors import UserError
from protoexplain_app.auth import Login, add_user
from protoexplain_app.jobs import JobQueue, JobState
from protoexplain_app.network import listen
from protoexplain_app.roles import EVERYTHING, Access, Role, role_named
from protoexplain_app.server import create_app

HERE, THERE = {}, {"X-Forwarded-For": "203.0.113.9"}
"""Headers of a request from this computer, and of one that a proxy on it passes on."""
PASSWORD = "a long password"
ATTACKS = {
    "measure": ("metrics", "metrics-work", "metrics-work", "do=start&metric=accuracy"),
    "cancel what others measure": ("metrics", "metrics-work", "metrics-work", "do=cancel"),
    "look through all pictures": ("prototypes&prototype=1", "nearest", "nearest", "do=search"),
    "remove a prototype": ("edit", "edit-one", "edit-overview", "do=remove&prototype=1&reason=other"),
    "make a report": ("report", "report-query", "report-status", "do=make&chosen=1&section_images=1"),
    "judge all test pictures": ("explain", "picture-query", "pictures", "show=wrong"),
    "start a quiz that judges them": ("quiz", "quiz", "quiz", "do=start&task=agreement"),
}
"""Deed -> tab, element whose event is sent, element that answers, what is sent."""
BEGINNING = ["measure", "look through all pictures", "make a report", "judge all test pictures"]
"""Those that begin a job."""


def request(client, host, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(client=SimpleNamespace(host=client), headers={"host": host, **names})


def test_each_role_may_do_what_those_before_may():
    covered = [[role.covers(needed) for needed in Role] for role in Role]
    assert covered == [[True, False, False], [True, True, False], [True, True, True]]
    assert role_named("edit", "") is Role.EDIT
    with pytest.raises(UserError, match="no role 'admin'"):
        role_named("admin", "--role")


@pytest.mark.parametrize(
    ("asks", "role"),
    [
        (request("127.0.0.1", "127.0.0.1:7860"), Role.EDIT),
        (request("::1", "[::1]:7860"), Role.EDIT),
        (request("127.0.0.1", "localhost"), Role.EDIT),
        (request("192.168.1.7", "localhost"), Role.LOOK),
        (request("127.0.0.1", "attacker.example:7860"), Role.LOOK),
        (request("127.0.0.1", "127.0.0.1", x_forwarded_for="203.0.113.9"), Role.LOOK),
        (request("127.0.0.1", "127.0.0.1", forwarded="for=203.0.113.9"), Role.LOOK),
        (request("127.0.0.1", "127.0.0.1:7860", origin="http://localhost:7860"), Role.EDIT),
        (request("127.0.0.1", "127.0.0.1:7860", origin="https://birds.example"), Role.LOOK),
        (request("127.0.0.1", "127.0.0.1:7860", origin="null"), Role.LOOK),
        (request("127.0.0.1", "["), Role.LOOK),
        (SimpleNamespace(client=None, headers={"host": "localhost"}), Role.LOOK),
        (None, Role.LOOK),
    ],
)
def test_without_a_login_who_works_at_this_computer_may_do_everything_and_others_look(asks, role):
    assert Access(here=Role.EDIT).role_of(asks, None) is role


def test_accounts_count_before_addresses():
    access = Access(Role.LOOK, accounts={"ada": Role.EDIT})
    here = request("127.0.0.1", "localhost")
    assert [access.role_of(here, user) for user in ("ada", "bob", None)] == [Role.EDIT, Role.LOOK, Role.LOOK]
    assert access.role() is Role.LOOK, "nobody asked"
    assert EVERYTHING.role() is Role.EDIT


def test_the_file_of_users_says_roles(tmp_path):
    users = tmp_path / "users"
    add_user(users, "ada", PASSWORD, Role.EDIT)
    add_user(users, "bob", PASSWORD)
    add_user(users, "ada", "a newer password")
    assert Login(users).roles == {"ada": Role.EDIT}
    users.write_text(users.read_text().replace(":edit", ":root"))
    with pytest.raises(UserError, match="no role 'root'"):
        Login(users)


@pytest.fixture(scope="module")
def begun():
    """Kinds of the jobs that began; they do nothing."""
    kinds = []

    def run(queue, key, work, running):
        kinds.append(key.kind)
        queue._end(key, state=JobState.CANCELLED)
        queue.forget(key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobQueue, "_run", run)
        yield kinds


@pytest.fixture(scope="module")
def site(made, birds, tmp_path_factory, begun):
    """The app without a login, and its folder."""
    folder = shutil.copytree(made, tmp_path_factory.mktemp("roles") / "checkpoints")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
        with served(create_app(folder, birds)) as address:
            yield address, folder


@contextmanager
def served(app):
    """Where an app answers that runs in a thread."""
    with listen("127.0.0.1", 0) as door:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        server.should_exit = server.force_exit = True
        thread.join()


def client(address, headers):
    return httpx.Client(base_url=address, headers=headers, timeout=60)


def attack(client, tab, of, shows, sent):
    """What the server answers, wherever it says so."""
    visitor = Visitor(client, "a-protopnet")
    visitor.go(f"model=a-protopnet&tab={tab}")
    if tab != "explain":
        visitor.send("change", shows)
    try:
        return str(visitor.send("query", shows, told={"query": sent}, of=of)[shows])
    except RuntimeError as refused:
        return str(refused)


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("deed", ATTACKS)
def test_who_may_look_is_refused_by_the_server(site, begun, deed):
    address, folder = site
    before = files_of(folder)
    begun.clear()
    told = attack(client(address, THERE), *ATTACKS[deed])
    assert "needs the role &#39;measure&#39;" in told or "needs the role 'measure'" in told
    assert "1 decided" not in told
    assert begun == []
    assert files_of(folder) == before


@pytest.mark.parametrize("deed", BEGINNING)
def test_who_works_at_this_computer_is_not(site, begun, deed):
    begun.clear()
    assert "needs the role" not in attack(client(site[0], HERE), *ATTACKS[deed])
    assert len(begun) == 1


@pytest.mark.parametrize("deed", BEGINNING)
def test_a_full_queue_is_told_to_whoever_asks_for_more(site, begun, deed, monkeypatch):
    monkeypatch.setattr("protoexplain_app.jobs.FULL", 0)
    begun.clear()
    assert "queue is full" in attack(client(site[0], HERE), *ATTACKS[deed])
    assert begun == []


def test_a_full_queue_leaves_prototypes_to_choose_from(site, monkeypatch):
    monkeypatch.setattr("protoexplain_app.jobs.FULL", 0)
    visitor = Visitor(client(site[0], HERE), "a-protopnet")
    visitor.go("model=a-protopnet&tab=edit")
    told = visitor.send("change", "edit-overview")
    assert "queue is full" in str(told["edit-overview"])
    assert "<b>15</b>" in str(told["edit-gallery"])


def test_reports_are_given_to_those_who_may_make_them(site):
    for headers, code in ((THERE, 403), (HERE, 404)):
        asks = client(site[0], headers)
        assert [asks.get(f"/report/guessed/{what}").status_code for what in ("preview", "file.pdf")] == [code] * 2


def test_roles_of_accounts(made, birds, tmp_path, begun):
    users = tmp_path / "users"
    add_user(users, "bob", PASSWORD)
    add_user(users, "cy", PASSWORD, Role.MEASURE)
    with served(create_app(made, birds, users)) as address:
        for user, refused in (("bob", True), ("cy", False)):
            asks = client(address, HERE)
            asks.post("/login", data={"username": user, "password": PASSWORD}).raise_for_status()
            begun.clear()
            told = attack(asks, *ATTACKS["measure"])
            assert ("needs the role" in told, begun == []) == (refused, refused)


def test_a_role_that_does_not_exist_is_told_at_the_start(made):
    with pytest.raises(UserError, match="no role 'all'"):
        create_app(made, role="all")
