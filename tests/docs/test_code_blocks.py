"""What README and documentation show as code works: Python is run, commands are parsed, and some are run, too."""

from __future__ import annotations

import fnmatch
import re
import shutil
import sys

import pytest
import typer

import protoexplain as px
from docs import pages
from protoexplain.checkpoint.folders import shipped_checkpoints
from protoexplain.cli.main import app, main
from protoexplain.config import read_yaml, resolve
from protoexplain.metrics.registry import list_metrics

SHELL = ("", "sh", "bash", "console")


def shell_blocks(page):
    return [block for block in pages.blocks(page) if block.language in SHELL]


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """What readers find around them after `make demo`: checkpoints, planted birds; and pictures of their own."""
    root = tmp_path_factory.mktemp("reader")
    (root / "checkpoints").symlink_to(shipped_checkpoints().resolve())
    birds = root / "data" / "planted-birds"
    px.draw(birds, train_per_class=1, test_per_class=1, size=160)
    _as_if_there_were_thirty(birds)
    for number, image in enumerate(px.read_image_set(birds).split("train")[:8]):
        folder = root / "my_images" / ("red" if number % 2 else "blue")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(image.path, folder / f"{number}.jpg")
        shutil.copy(image.path, root / ("other.jpg" if number else "bird.jpg"))
    return root


def _as_if_there_were_thirty(birds):
    """The first test image of the first class gets the name that it has in the full set."""
    for path in list(birds.rglob("Myrtle_Kinglet_0002.*")):
        path.rename(path.with_stem("Myrtle_Kinglet_0031"))
    listed = birds / "images.txt"
    listed.write_text(listed.read_text().replace("Myrtle_Kinglet_0002", "Myrtle_Kinglet_0031"))


@pytest.fixture
def inside(place, monkeypatch, tmp_path):
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_python_runs(page, inside):
    """The blocks of a page one after the other, as a reader would paste them."""
    known = {"__name__": "documentation"}
    for block in pages.blocks(page):
        if block.language == "python":
            code = compile(block.code, block.where, "exec")
            if not block.spared:
                exec(code, known)  # noqa: S102 - our own documentation


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_commands_exist(page):
    for words in [words for block in shell_blocks(page) for words in pages.commands(block)]:
        _check(words, whole=True)
    for words in pages.inline_commands(page):
        _check(words, whole=False)


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_yaml_is_plain(page):
    for block in pages.blocks(page):
        if block.language == "yaml":
            assert isinstance(read_yaml(block.code, block.where), dict)


RUN = [words for page in pages.PAGES for block in shell_blocks(page) if block.wanted for words in pages.commands(block)]


def test_some_commands_are_run():
    assert len(RUN) >= 5


@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_command_runs(words, inside, monkeypatch, capsys):
    monkeypatch.setattr("signal.signal", lambda *handler: None)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        main()
    told = capsys.readouterr()
    assert not stop.value.code, told.err
    assert told.out


# ---------------------------------------------------------------------- checking a command without running it


def _check(words, whole):
    """A command of ours has these options and, written in whole, what it needs; anything else is a file that exists."""
    program, *rest = words
    if program == "make":
        makefile = (pages.ROOT / "Makefile").read_text()
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in rest if "=" not in target), words
    elif program == "python" and rest[0] == "-m":
        known = {"benchmarks": pages.ROOT / "/".join(rest[1].split("."))}.get(rest[1].split(".")[0])
        assert known is None or known.with_suffix(".py").is_file(), words
    elif program == "python":
        assert (pages.ROOT / rest[0]).is_file(), words
    elif program == "protoexplain":
        _check_ours(rest, whole)


def _check_ours(words, whole):
    command = typer.main.get_command(app)
    name = ["protoexplain"]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words[0]]
        name.append(words.pop(0))
    context = typer.Context(command, info_name=" ".join(name))
    if hasattr(command, "commands"):
        assert len(name) == 1 or not words, f"no command {name} {words}"
        assert all(word.startswith("-") or word.isupper() for word in words[:1]), f"no command {words[0]}"
    given, left, _ = command.make_parser(context).parse_args(list(words))
    assert left == [] or hasattr(command, "commands"), f"{name} does not take {left}"
    if whole and not {"--help", "--version"} & set(words):
        lacking = [one.name for one in command.params if one.required and not given.get(one.name)]
        assert lacking == [], f"{name} {words} lacks {lacking}"
    _check_values(given, trains="config" in {one.name for one in command.params})


def _check_values(given, trains):
    """Presets, keys and metrics that are named, unless in capitals, which stand for the reader's own."""
    if trains:
        config = given.get("config")
        sets = [one for one in given.get("assignments") or [] if not one.split("=")[-1].isupper()]
        resolve("quick-protopnet" if not config or config.isupper() or config.endswith(".yaml") else config, sets)
    names = given.get("metrics") or ""
    named = [one for one in names.split(",") if one and not one.isupper()]
    assert all(fnmatch.filter(list_metrics(), one) for one in named), names
