"""What is said of the work where that is asked for: lines for people, JSON lines for programs, and nothing else."""

import json
import logging
from unittest import mock

import pytest

from protoexplain.cli import logs

DRAW = ("--classes", 2, "--train", 2, "--test", 1, "--size", 48)


@pytest.fixture(autouse=True)
def _as_before():
    yield
    logs.set_up(False, False)


def test_what_is_done_is_said_on_standard_error(cli, tmp_path):
    code, told, trouble = cli("-v", "data", "draw", tmp_path / "birds", *DRAW)
    lines = trouble.splitlines()
    assert (code, told) == (0, f"6 images of 2 classes in {tmp_path / 'birds'}\n")
    assert "protoexplain" in lines[0]
    assert "drawing birds: begun, 6 to do" in lines[1]
    assert "drawing birds: done in" in trouble
    code, told, trouble = cli("data", "draw", tmp_path / "more", *DRAW)
    assert (code, trouble) == (0, "")


def test_as_json_each_line_is_an_object(cli, tmp_path):
    _, _, trouble = cli("--log-json", "data", "draw", tmp_path / "birds", *DRAW)
    told = [json.loads(line) for line in trouble.splitlines()]
    assert all({"time", "level", "logger", "message"} <= entry.keys() for entry in told)
    assert [entry["done"] for entry in told if entry.get("work") == "drawing birds"] == [1, 6]


def test_a_mistake_of_the_user_is_an_object_too(cli, tmp_path):
    code, _, trouble = cli("--log-json", "explain", tmp_path / "missing", "bird.jpg")
    last = json.loads(trouble.splitlines()[-1])
    assert (code, last["level"]) == (2, "error")
    assert "missing" in last["message"]
    assert all(json.loads(line) for line in trouble.splitlines())


@pytest.mark.parametrize(
    ("words", "told"),
    [(("trian",), "No such command 'trian'"), (("--bogus",), "No such option: --bogus"),
     (("data", "draw", "birds", "--size", "x"), "--size"), (("export",), "Missing argument")],
)  # fmt: skip
def test_a_command_line_that_cannot_be_read_is_an_object_too(cli, words, told):
    code, _, trouble = cli("--log-json", *words)
    lines = [json.loads(line) for line in trouble.splitlines()]
    assert (code, lines[-1]["level"]) == (2, "error")
    assert told in lines[-1]["message"]
    code, _, trouble = cli(*words)
    assert (code, told in trouble, '{"' in trouble) == (2, True, False)


def test_an_interrupted_command_is_an_object_too(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("protoexplain.planted.draw", mock.Mock(side_effect=KeyboardInterrupt))
    code, _, trouble = cli("--log-json", "data", "draw", tmp_path / "birds", *DRAW)
    last = json.loads(trouble.splitlines()[-1])
    assert (code, last["message"]) == (130, "interrupted")
    assert cli("data", "draw", tmp_path / "birds", *DRAW)[0] == 130


def test_a_traceback_stays_in_its_line(capsys):
    logs.set_up(False, as_json=True)
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("somebody.else").exception("it\nbroke")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["level"], told["message"]) == ("error", "it\nbroke")
    assert "ZeroDivisionError" in told["exception"]


def test_long_work_is_told_once_a_minute(caplog):
    moments = iter([0, 10, 61, 70, 122, 130])
    with caplog.at_level(logging.INFO, "protoexplain"):
        watcher = logs.LogWatcher(lambda: next(moments))
        for done in range(1, 7):
            watcher.progress("looking", done, 6)
    assert [record.message for record in caplog.records] == [
        "looking: begun, 6 to do",
        "looking: 3 of 6",
        "looking: 5 of 6",
        "looking: done in 130.0 s",
    ]
