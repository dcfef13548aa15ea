"""The command report as a process: what it writes, and what it refuses."""

import json
import os
import subprocess
import sys

import jsonschema
import pytest
from tiny_runs import tiny_train

from protoexplain.data.reading import read_image_set
from protoexplain.report.schema import report_schema


@pytest.fixture(scope="module")
def made(planted, tmp_path_factory):
    """family -> its checkpoint, trained once."""
    folder, kept = tmp_path_factory.mktemp("reporting"), {}

    def checkpoint(family):
        if family not in kept:
            kept[family] = tiny_train(family, planted, folder / family).checkpoint.path
        return kept[family]

    return checkpoint


@pytest.fixture
def birds(planted):
    return [record.path for record in read_image_set(planted).split("test")[:2]]


def process(*words, **environment):
    command = [sys.executable, "-m", "protoexplain", "report", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(("family", "ending"), [("protopnet", "html"), ("st_protopnet", "pdf"), ("cbc", "json")])
def test_families_and_formats(made, planted, birds, tmp_path, family, ending):
    out = tmp_path / f"report.{ending}"
    done = process(made(family), *birds, "-d", planted, "-o", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"report: {out}" in done.stdout
    assert all(path.name in done.stdout for path in birds)
    assert os.listdir(tmp_path) == [out.name]
    content = out.read_bytes()
    match ending:
        case "html":
            text = content.decode()
            assert text.lstrip().startswith("<!doctype html>")
            assert all(path.name in text for path in birds)
            assert "protoexplain report " in text
        case "pdf":
            assert content.startswith(b"%PDF-")
        case "json":
            told = json.loads(content)
            jsonschema.Draft202012Validator(report_schema()).validate(told)
            assert [case["name"] for case in told["images"]] == [path.name for path in birds]
            assert told["reproduce"]["report_command"].startswith("protoexplain report ")


def test_without_images_and_data(cli, made, tmp_path):
    code, told, trouble = cli("report", made("protopnet"), "-o", tmp_path / "r.json", "--sections", "model, prototypes")
    assert code == 0, trouble
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["images"] is None
    assert content["accuracy"] is None
    assert content["prototypes"]["shown"] == 8
    assert "model, prototypes" in told


def test_bad_images_are_named_and_the_report_is_whole(cli, made, birds, tmp_path):
    poem = tmp_path / "poem<b>.jpg"
    poem.write_text("Roses are red")
    out = tmp_path / "r.html"
    code, _, trouble = cli("report", made("protopnet"), poem, birds[0], tmp_path / "gone.jpg", "-o", out)
    assert code == 0
    assert "poem<b>.jpg" in trouble
    assert "gone.jpg" in trouble
    page = out.read_text()
    assert "poem&lt;b&gt;.jpg" in page
    assert "poem<b>" not in page
    assert birds[0].name in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["poem.jpg", "-o", "r.html"], "poem.jpg"),
        (["-o", "r.docx"], ".html, .pdf or .json"),
        (["-o", "r.html", "--sections", "imagse"], "did you mean 'images'"),
        (["-o", "r.html", "-d", "nowhere"], "nowhere"),
    ],
)
def test_refusals_write_nothing(cli, made, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poem.jpg").write_text("Roses are red")
    code, printed, trouble = cli("report", made("protopnet"), *words)
    assert (code, printed) == (2, "")
    assert told in trouble
    assert [path.name for path in tmp_path.iterdir()] == ["poem.jpg"]


def test_other_data(cli, made, class_folders, tmp_path):
    code, _, trouble = cli("report", made("protopnet"), "-d", class_folders, "-o", tmp_path / "r.html")
    assert code == 2
    assert "classes" in trouble


def test_a_full_disk_leaves_the_old_report(made, tmp_path):
    out = tmp_path / "r.json"
    out.write_text("old")
    done = process(made("protopnet"), "-o", out, PROTOEXPLAIN_FAULT="write:1")
    assert done.returncode == 2
    assert "disk is full" in done.stderr
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
