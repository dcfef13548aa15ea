"""Uploads: only what was uploaded is read, and the folder does not grow without end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from protoexplain.errors import UserError
from protoexplain_app import uploads
from protoexplain_app.uploads import sweep, uploaded


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(uploads.FOLDER, str(tmp_path / "uploads"))
    (tmp_path / "uploads" / "abc").mkdir(parents=True)
    return tmp_path / "uploads"


def test_an_uploaded_file_is_found(folder):
    file = folder / "abc" / "bird.jpg"
    file.write_bytes(b"x")
    assert uploaded(str(file)) == file


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{folder}/../secret.txt", "{folder}/abc", "{folder}/abc/link", "", "\0"]
)
def test_other_files_are_refused(folder, path):
    (folder.parent / "secret.txt").write_text("secret")
    (folder / "abc" / "link").symlink_to(folder.parent / "secret.txt")
    with pytest.raises(UserError):
        uploaded(path.format(folder=folder))


def test_the_oldest_files_make_room(folder):
    for age, name in enumerate(["new", "old", "older"]):
        path = folder / "abc" / name
        path.write_bytes(bytes(100))
        os.utime(path, (1000 - age, 1000 - age))
    sweep(folder, room=250)
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["new", "old"]
    sweep(folder, room=0)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_the_folder_is_gone_when_the_program_ends():
    code = "from protoexplain_app.uploads import make_folder; p = make_folder(); (p / 'x').write_bytes(b'1'); print(p)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not os.path.exists(done.stdout.strip())
