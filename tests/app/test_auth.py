"""Users and their passwords: slow hashes, and time that wrong passwords cost."""

from __future__ import annotations

import asyncio
import stat

import pytest

from protoexplain.errors import UserError
from protoexplain_app import auth as login
from protoexplain_app.auth import Login, add_user, ask_user, hashed


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users"
    add_user(path, "ada", "a long password")
    add_user(path, "zoë", "another password")
    return path


@pytest.fixture
def no_waiting(monkeypatch):
    """Notes how long would be waited."""
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr(login.asyncio, "sleep", sleep)
    return waited


def test_only_the_right_password_of_a_user_lets_in(users, no_waiting):
    door = Login(users)
    tries = {
        ("ada", "a long password"): True,
        ("zoë", "another password"): True,
        ("ada", "another password"): False,
        ("ada", ""): False,
        ("", ""): False,
        ("eve", "a long password"): False,
    }
    assert {given: asyncio.run(door.check(*given)) for given in tries} == tries


def test_the_file_holds_no_password_and_is_private(users):
    text = users.read_text()
    assert "password" not in text
    assert text.startswith("ada:scrypt$32768$8$1$")
    assert stat.S_IMODE(users.stat().st_mode) == 0o600
    assert hashed("same") != hashed("same")


def test_a_new_password_replaces_the_old_one(users, no_waiting):
    add_user(users, "ada", "a newer password")
    door = Login(users)
    assert not asyncio.run(door.check("ada", "a long password"))
    assert asyncio.run(door.check("ada", "a newer password"))
    assert len(users.read_text().splitlines()) == 2


def test_each_wrong_password_doubles_the_wait_for_that_user_alone(users, no_waiting):
    door = Login(users)
    for _ in range(9):
        asyncio.run(door.check("ada", "wrong"))
    assert no_waiting == [0, 0.5, 1, 2, 4, 8, 16, 32, 60]
    assert door.delay("zoë") == 0
    assert asyncio.run(door.check("ada", "a long password"))
    assert door.delay("ada") == 0


def test_unknown_users_cannot_fill_the_memory(users, no_waiting):
    door = Login(users)
    for number in range(5):
        asyncio.run(door.check(f"eve{number}", "wrong"))
    assert no_waiting == [0, 0.5, 1, 2, 4]


def test_guesses_of_one_user_take_turns_and_more_are_turned_away(users, monkeypatch):
    door = Login(users)
    monkeypatch.setattr(login, "_matches", lambda password, secret: False)
    monkeypatch.setattr(login, "FIRST_DELAY", 0.001)

    async def crowd():
        return await asyncio.gather(*(door.check("ada", f"guess {i}") for i in range(20)))

    assert not any(asyncio.run(crowd()))
    assert door.delay("ada") == pytest.approx(0.001 * 2 ** (login.MOST_WAITING - 1))


@pytest.mark.parametrize("line", ["ada", "ada:secret", "ada:scrypt$2$8$1$AAAA$AAAA", ":scrypt", "ada:scrypt$x$8$1$$"])
def test_a_line_that_is_no_user_is_told(tmp_path, line):
    path = tmp_path / "users"
    path.write_text(f"# users\n\n{line}\n")
    with pytest.raises(UserError, match="line 3"):
        Login(path)


@pytest.mark.parametrize("content", [None, b"", b"# nobody\n", b"\xff\xfe"])
def test_a_file_without_users_is_told(tmp_path, content):
    path = tmp_path / "users"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError):
        Login(path)


@pytest.mark.parametrize(("user", "password"), [("", "long enough"), ("a:b", "long enough"), ("ada", "short")])
def test_unusable_names_and_passwords_are_refused(tmp_path, user, password):
    with pytest.raises(UserError):
        add_user(tmp_path / "users", user, password)
    assert not (tmp_path / "users").exists()


def test_a_user_is_asked_twice_for_the_password(tmp_path, monkeypatch, capsys):
    answers = iter(["a long password", "a lonk password"] + ["a long password"] * 2)
    monkeypatch.setattr(login, "getpass", lambda prompt: next(answers))
    with pytest.raises(UserError, match="different"):
        ask_user(tmp_path / "users", "ada")
    ask_user(tmp_path / "users", "ada")
    assert "ada may log in" in capsys.readouterr().out
    with pytest.raises(UserError, match="no file"):
        ask_user(None, "ada")
