"""Reports in the app: what goes in, how they are made, served and removed."""

from __future__ import annotations

import dataclasses
import json
import threading
import time

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from protoexplain.errors import UserError
from protoexplain.report.gather import ReportImage, ReportOptions
from protoexplain.report.report import SECTIONS
from protoexplain_app.jobs import Job, JobQueue, JobState
from protoexplain_app.library import Choice
from protoexplain_app.roles import Role
from protoexplain_app.routes import add_routes
from protoexplain_app.tabs.report import reports as reports_module
from protoexplain_app.tabs.report import view as views
from protoexplain_app.tabs.report.actions import OFFERED, Query, make, offered, parse_query, read_form
from protoexplain_app.tabs.report.reports import ReportFiles, Reports

SHORT = ("model", "reproduce")


@pytest.fixture
def laid_out():
    """Whether PDFs are laid out, which takes most of the time of a report, or empty files are written for them."""
    return False


@pytest.fixture(autouse=True)
def _pdf(monkeypatch, laid_out):
    if not laid_out:
        monkeypatch.setattr("protoexplain.report.pdf.render", lambda report: b"%PDF-")


@pytest.fixture
def choice(library):
    input_images = library.examples.of(library.store.listed("a-protopnet").checkpoint)
    return Choice("a-protopnet", input_images[0].key)


def finished(reports, token):
    """The job when it is over."""
    until = time.monotonic() + 60
    while reports.find(token).under_way and time.monotonic() < until:
        time.sleep(0.05)
    return reports.find(token)


@pytest.mark.parametrize("laid_out", [True])
def test_a_report_of_chosen_pictures_in_three_formats(library, choice, laid_out):
    choice = dataclasses.replace(choice, model="b-cbc")
    query = Query(("images",), True, (1, 4))
    others = offered(library, choice)
    job = finished(library.reports, make(library, choice, query))
    made = job.result
    assert (job.error, made.refused, dict(made.missing)) == (None, (), {})
    assert set(made.files) == {".html", ".pdf", ".json"}
    assert made.files[".pdf"].read_bytes().rstrip().endswith(b"%%EOF")
    content = json.loads(made.files[".json"].read_text())
    names = [library.input_image(choice).name, others[1].name, others[4].name]
    assert [case["name"] for case in content["images"]] == names
    assert content["images"][0]["truth"] == library.input_image(choice).truth
    assert content["images"][0]["explanation"]["geometry"]["crop"]["x0"] > 0, "the box of the data set"
    assert (content["model"], content["prototypes"]) == (None, None)
    name, page = library.reports.file(made.token, ".html")
    assert name == "report-b-cbc.html"
    assert "<script" not in page.decode()


def test_an_upload_with_a_frame_and_one_that_cannot_be_read(library, choice, tmp_path):
    upload = dataclasses.replace(choice, upload=str(library.input_image(choice).path), frame=(0, 0, 0.5, 0.5))
    poem = tmp_path / "poem.jpg"
    poem.write_text("Roses are red")
    job = finished(library.reports, make(library, upload, Query(("images",))))
    (case,) = json.loads(job.result.files[".json"].read_text())["images"]
    assert case["explanation"]["geometry"]["crop"]["x1"] == pytest.approx(48)
    assert case["truth"] is None
    bad = dataclasses.replace(upload, upload=str(poem))
    job = finished(library.reports, make(library, bad, Query(("images",), True, (0,))))
    assert [name for name, _ in job.result.refused] == ["poem.jpg"]
    assert "poem.jpg is left out" in views.status(Query(), job)
    job = finished(library.reports, make(library, bad, Query(("images",))))
    assert "text" in job.error.what
    assert not job.result.files
    assert 'role="alert"' in views.status(Query(), job)


def test_what_cannot_be_made_is_refused(library, choice):
    with pytest.raises(UserError, match="without sections"):
        make(library, choice, Query(()))
    with pytest.raises(UserError, match="no picture"):
        make(library, choice, Query(("images",), chosen=False))
    with pytest.raises(UserError, match="no checkpoint"):
        make(library, Choice(), Query(SHORT))
    assert finished(library.reports, make(library, choice, Query(SHORT, chosen=False))).result.files


def test_without_a_library_for_pdf_the_others_are_there(library, choice, monkeypatch):
    def render(report, ending):
        if ending == ".pdf":
            raise UserError("PDF needs the library Pango", "", "install it")
        return b"content"

    monkeypatch.setattr(reports_module, "render", render)
    job = finished(library.reports, make(library, choice, Query(SHORT)))
    assert set(job.result.files) == {".html", ".json"}
    assert "There is no .pdf: PDF needs the library Pango. Install it." in views.status(Query(), job)


def test_an_error_of_ours_ends_in_a_sentence(library, choice, monkeypatch):
    monkeypatch.setattr(reports_module, "gather", lambda *given: 1 / 0)
    job = finished(library.reports, make(library, choice, Query(SHORT)))
    assert "Something went wrong" in views.status(Query(), job)
    assert "division" not in views.status(Query(), job)


class TestKeeping:
    def start(self, reports, library, name="a b/../c"):
        explainer = library.store.explainer("a-protopnet")
        return reports.start(explainer, [], ReportOptions(SHORT), name)

    def test_old_ones_go(self, library):
        reports = Reports(JobQueue(), remembered=2)
        made = [finished(reports, self.start(reports, library)).result for _ in range(3)]
        files = [path for one in made for path in one.files.values()]
        assert made[0].name == "report-a-b-c"
        with pytest.raises(UserError, match="no longer here"):
            reports.find(made[0].token)
        assert [path.exists() for path in files] == [False] * 3 + [True] * 6
        assert all(path.parent == files[0].parent for path in files)

    def test_after_a_while_all_go(self, library):
        reports = Reports(JobQueue(), seconds=0)
        token = self.start(reports, library)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                reports.find(token)
                time.sleep(0.05)
            except UserError:
                break
        with pytest.raises(UserError, match="no longer here"):
            reports.file(token, ".html")

    def test_only_a_few_at_a_time(self, library, monkeypatch):
        gate = threading.Event()
        monkeypatch.setattr(reports_module, "gather", lambda *given: gate.wait(60) and 1 / 0)
        reports = Reports(JobQueue())
        tokens = [self.start(reports, library) for _ in range(reports_module.UNDER_WAY)]
        with pytest.raises(UserError, match="other reports"):
            self.start(reports, library)
        waiting = [token for token in tokens if reports.find(token).what.startswith("waiting")]
        assert waiting
        gate.set()
        assert not any(finished(reports, token).under_way for token in tokens)


class TestServing:
    @pytest.fixture
    def client(self, library):
        app, self.role = FastAPI(), Role.MEASURE
        add_routes(app, library, lambda request: self.role, lambda request: None)
        return TestClient(app)

    def test_files_and_preview(self, client, library, choice):
        made = finished(library.reports, make(library, choice, Query(SHORT))).result
        types = {"html": "text/html; charset=utf-8", "pdf": "application/pdf", "json": "application/json"}
        for kind, media in types.items():
            answer = client.get(f"/report/{made.token}/file.{kind}")
            assert answer.content == made.files[f".{kind}"].read_bytes()
            assert answer.headers["content-type"] == media
            assert answer.headers["content-disposition"] == f'attachment; filename="report-a-protopnet.{kind}"'
        shown = client.get(f"/report/{made.token}/preview")
        assert shown.headers["content-disposition"].startswith("inline")
        assert shown.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        for self.role, code in ((None, 401), (Role.LOOK, 403)):
            assert client.get(f"/report/{made.token}/preview").status_code == code
            assert client.get(f"/report/{made.token}/file.pdf").status_code == code

    @pytest.mark.parametrize(
        "path",
        ["unknown/file.html", "unknown/preview", "{token}/file.exe", "{token}/file.html/x", "..%2f..%2fetc/preview"],
    )
    def test_nothing_else(self, client, library, choice, path):
        token = make(library, choice, Query(SHORT))
        finished(library.reports, token)
        assert client.get(f"/report/{path.format(token=token)}").status_code in (404, 422)


def test_wishes_are_not_trusted():
    assert parse_query({}) == Query()
    assert parse_query({"sections": "images.evil.model", "pictures": "4.99.x.chosen"}) == Query(
        ("model", "images"), True, (4,)
    )
    assert parse_query({"pictures": "none"}).chosen is False
    assert read_form({"section_images": "1", "picture_3": "1", "picture_x": "1"}) == Query(("images",), False, (3,))
    for query in (Query(), Query(SHORT, False, (0, OFFERED - 1)), Query((), True)):
        assert parse_query(query.parameters) == query
    assert set(Query().sections) == set(SECTIONS)


def test_the_form_shows_the_wish_and_hostile_names_are_text(library, choice):
    hostile = '"><img src=x onerror=alert(1)><script>'
    input_images = [dataclasses.replace(s, truth=hostile, name=hostile) for s in offered(library, choice)]
    page = views.query_form(Query(("images",), False, (2,)), input_images[0], input_images)
    assert page.count(" checked") == 2
    assert "<script" not in page
    assert "<img src=x" not in page
    made = ReportFiles(hostile, hostile, refused=((hostile, hostile),))
    job = Job(JobState.RUNNING, what=hostile, result=made)
    broken = dataclasses.replace(job, error=UserError(hostile, "", hostile))
    for shown in (views.status(Query(), job), views.status(Query(), broken), views.preview(hostile)):
        assert "<script" not in shown
        assert "<img src=x" not in shown


def test_pictures_of_given_files_need_no_data(library):
    """The report of a model names what it was given."""
    checkpoint = library.store.listed("b-cbc").checkpoint
    path = library.examples.of(checkpoint)[0].path
    explainer = library.store.explainer("b-cbc")
    job = finished(
        library.reports, library.reports.start(explainer, [ReportImage(path, "x")], ReportOptions(("images",)), "b-cbc")
    )
    assert json.loads(job.result.files[".json"].read_text())["images"][0]["name"] == "x"
