"""The command report as a process: what it writes, and what it refuses."""

import json
import os

import jsonschema
import pytest

from protoexplain.data.read import read_image_set
from protoexplain.report.schema import report_schema


@pytest.fixture
def birds(planted):
    return [record.path for record in read_image_set(planted).split("test")[:2]]


@pytest.mark.parametrize(("family", "ending"), [("protopnet", "html"), ("st_protopnet", "pdf"), ("cbc", "json")])
def test_families_and_formats(cli, tiny_checkpoint, planted, birds, tmp_path, family, ending):
    out = tmp_path / f"report.{ending}"
    code, printed, trouble = cli("report", tiny_checkpoint(family), *birds, "-d", planted, "-o", out)
    assert (code, trouble) == (0, "")
    assert f"report: {out}" in printed
    assert all(path.name in printed for path in birds)
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


def test_without_images_and_data(cli, tiny_checkpoint, tmp_path):
    code, told, trouble = cli(
        "report", tiny_checkpoint("protopnet"), "-o", tmp_path / "r.json", "--sections", "model, prototypes"
    )
    assert code == 0, trouble
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["images"] is None
    assert content["accuracy"] is None
    assert content["prototypes"]["shown"] == 8
    assert "model, prototypes" in told


def test_bad_images_are_named_and_the_report_is_whole(cli, tiny_checkpoint, birds, tmp_path):
    poem = tmp_path / "poem<b>.jpg"
    poem.write_text("Roses are red")
    out = tmp_path / "r.html"
    code, _, trouble = cli("report", tiny_checkpoint("protopnet"), poem, birds[0], tmp_path / "gone.jpg", "-o", out)
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
def test_refusals_write_nothing(cli, tiny_checkpoint, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poem.jpg").write_text("Roses are red")
    code, printed, trouble = cli("report", tiny_checkpoint("protopnet"), *words)
    assert (code, printed) == (2, "")
    assert told in trouble
    assert [path.name for path in tmp_path.iterdir()] == ["poem.jpg"]


def test_other_data(cli, tiny_checkpoint, class_folders, tmp_path):
    code, _, trouble = cli("report", tiny_checkpoint("protopnet"), "-d", class_folders, "-o", tmp_path / "r.html")
    assert code == 2
    assert "classes" in trouble


def test_a_full_disk_leaves_the_old_report(cli, tiny_checkpoint, tmp_path, monkeypatch):
    out = tmp_path / "r.json"
    out.write_text("old")
    checkpoint = tiny_checkpoint("protopnet")
    monkeypatch.setenv("PROTOEXPLAIN_FAULT", "write:1")
    code, _, trouble = cli("report", checkpoint, "-o", out)
    assert code == 2
    assert "disk is full" in trouble
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
