"""The renderers: one file that needs no other, whose text is text, in three formats."""

import dataclasses
import json
import sys
from html.parser import HTMLParser

import jsonschema
import PIL.ImageFile
import pytest
from forked import start
from fuzzing import fuzz, many
from hypothesis import given
from hypothesis import strategies as st

from protoexplain.errors import UserError
from protoexplain.explanations.evidence import local
from protoexplain.models.registry import family_names
from protoexplain.report import pdf
from protoexplain.report.formats import render, require_format, write_report
from protoexplain.report.report import SCHEMA_VERSION
from protoexplain.report.schema import SCHEMA_FILE, explanation_schema, report_schema, schema_text
from protoexplain.report.sections import Measure, Refused
from protoexplain.view.numbers import percent

HOSTILE = '"><img src=x onerror="alert(1)"><script>1</script>{{7*7}}&amp;</style></pre>'

PIECES = ("<", ">", "</", "'", '"', "&", "&lt;", "{{", "}}", "{%", "%}", "#}", "<script>", "</script>", "<!--", "-->",
          "]]>", "\0", "\n", "\r", "\t", "\x1b[", "\u2028", "\u202e", "javascript:", "x" * 300,
          " onerror=", "=", "`", "\\")  # fmt: skip


class Page(HTMLParser):
    """Tags, attributes that lead elsewhere, ids, and the text of a page."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.links, self.ids, self.text = [], [], [], ""
        self.feed(content.decode())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data):
        self.text += data


def hostile(report, name=HOSTILE):
    """The same with hostile names wherever names come from outside."""
    data = dataclasses.replace(report.model.data, name=name)
    model = dataclasses.replace(report.model, classes=(name,) * 4, data=data, about=name)
    guess = dataclasses.replace(report.images[0].predictions[0], name=name)
    explanation = report.images[0].explanation
    shown = dataclasses.replace(explanation.classes[0], name=name)
    rows = dataclasses.replace(report.images[0].lists[0].rows[0], owner=name, notes=(name,) * 2)
    lists = (dataclasses.replace(report.images[0].lists[0], rows=(rows,)),)
    case = dataclasses.replace(
        report.images[0],
        name=name,
        truth=name,
        predictions=(guess,),
        lists=lists,
        sentences=(name,),
        notices=(name,),
        picture=dataclasses.replace(report.images[0].picture, alt=name, boxes=()),
        explanation=dataclasses.replace(explanation, classes=(shown,)),
    )
    section = report.prototypes.sections[0]
    weight = dataclasses.replace(section.cards[0].weights[0], name=name)
    card = dataclasses.replace(section.cards[0], owner=name, weights=(weight,), words=(name,))
    prototypes = dataclasses.replace(
        report.prototypes, findings=(name,), sections=(dataclasses.replace(section, heading=name, cards=(card,)),)
    )
    again = dataclasses.replace(
        report.reproduce,
        command=name,
        report_command=name,
        trained_with={name: name},
        config={"a": name},
    )
    measure = Measure("x", name, name, name, "", 1.0, 0.5, 1.5, name, {name: 2.0}, (name,), 0.0, 2.0)
    return dataclasses.replace(
        report,
        title=name,
        model=model,
        images=(case,),
        prototypes=prototypes,
        reproduce=again,
        metrics=(measure,),
        refused=(Refused(name, name),),
    )


def without_pictures(value):
    """A report whose pictures are empty, which is drawn much faster."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return dataclasses.replace(value, **{name: without_pictures(entry) for name, entry in fields.items()})
    if isinstance(value, tuple):
        return tuple(map(without_pictures, value))
    return "data:," if isinstance(value, str) and value.startswith("data:") else value


@pytest.mark.parametrize("family", family_names())
class TestEveryFamily:
    def test_html_needs_nothing_else(self, reports, family):
        report = reports(family)
        page = Page(render(report, ".html"))
        assert "script" not in page.tags
        assert all(link.startswith(("data:", "#")) for link in page.links)
        assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
        assert len(page.ids) == len(set(page.ids))
        for sentence in report.opening:
            assert sentence in page.text
        for title in report.sections.values():
            assert title in page.text
        for case in report.images:
            assert percent(case.predictions[0].probability).replace(" ", "\N{NO-BREAK SPACE}") in page.text
        relative = report.images[0].explanation.evidence == "shapley"
        assert relative == (family not in ("cbc", "pipnet", "prototree", "rbf_net", "shallow_cbc"))
        for words in ("relative to the average class", "What an average picture gets", "usually "):
            assert (words in page.text) == relative
        assert ("the probability that the picture shows the prototype" in page.text) == (family == "shallow_cbc")
        cards = [card for section in report.prototypes.sections for card in section.cards]
        assert all(f"Prototype {card.index}" in page.text for card in cards)
        assert report.reproduce.weights_sha256 in page.text

    def test_json_follows_the_schema(self, reports, family):
        content = json.loads(render(reports(family), ".json"))
        jsonschema.Draft202012Validator(report_schema()).validate(content)
        assert content["schema"] == SCHEMA_VERSION
        assert content["images"][0]["explanation"] == json.loads(
            json.dumps(reports(family).images[0].explanation.to_dict())
        )


def test_pdf(reports):
    """The page of HTML, which is tested for every family, on paper."""
    content = render(dataclasses.replace(reports("protopnet"), prototypes=None), ".pdf")
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert content.count(b"/Subtype /Image") + content.count(b"/Subtype/Image") > 5


def asked_for_pdf():
    assert "weasyprint" not in sys.modules
    pdf.require_library()
    assert "weasyprint" in sys.modules
    print(PIL.ImageFile.LOAD_TRUNCATED_IMAGES)


def test_making_a_pdf_leaves_half_pictures_refused(tmp_path):
    assert start(asked_for_pdf, folder=tmp_path).ended() == (0, "False\n", "")


class TestHostileNames:
    def test_they_are_text(self, reports):
        report = hostile(reports("cbc"))
        page = Page(render(report, ".html"))
        plain = Page(render(dataclasses.replace(reports("cbc")), ".html"))
        assert set(page.tags) <= set(plain.tags) | {"li", "ul", "code"}
        assert all(link.startswith(("data:", "#")) for link in page.links)
        for place in ("title", "sections"):
            assert HOSTILE in page.text, place
        assert page.text.count(HOSTILE) > 25
        assert json.loads(render(report, ".json"))["title"] == HOSTILE

    @fuzz
    def test_whatever_they_are(self, reports):
        """Made of what means something to a page, a template or a script, and of any other characters."""
        report = without_pictures(reports("cbc"))
        tags = {*Page(render(report, ".html")).tags, "li", "ul", "code"}
        pieces = st.sampled_from(PIECES) | st.text(max_size=3)

        @many
        @given(st.lists(pieces, max_size=8).map("".join))
        def are_text(name):
            named = hostile(report, name)
            page = Page(render(named, ".html"))
            assert set(page.tags) <= tags
            assert all(link.startswith(("data:", "#")) for link in page.links)
            assert json.loads(render(named, ".json"))["title"] == name

        are_text()

    def test_in_a_pdf_too(self, reports):
        assert render(hostile(reports("cbc")), ".pdf").startswith(b"%PDF-")

    def test_names_that_are_no_unicode(self, reports):
        report = dataclasses.replace(reports("protopnet"), title="bird-\udcff.jpg", images=None, prototypes=None)
        assert "bird-?.jpg" in render(report, ".html").decode()
        assert json.loads(render(report, ".json"))["title"].startswith("bird-")
        assert render(report, ".pdf").startswith(b"%PDF-")


class TestSchema:
    def test_file_is_up_to_date(self):
        assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), "run python -m protoexplain.report.schema"

    def test_it_is_a_schema_that_refuses(self, reports):
        schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        content = json.loads(render(reports("protopnet"), ".json"))
        del content["images"][0]["explanation"]["additive_error"]
        with pytest.raises(jsonschema.ValidationError, match="additive_error"):
            jsonschema.validate(content, schema)

    def test_explanations_are_described_by_themselves(self):
        schema = explanation_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["properties"]["schema"] == {"const": local.SCHEMA_VERSION}
        assert "maps" not in schema["properties"]
        assert "(x, y)" in schema["$defs"]["Match"]["description"], "fields are described"


class TestFormats:
    @pytest.mark.parametrize("name", ["report.doc", "report", "report.htm"])
    def test_unknown_endings(self, tmp_path, name):
        with pytest.raises(UserError) as caught:
            require_format(tmp_path / name)
        assert all(ending in caught.value.fix for ending in (".html", ".pdf", ".json"))

    def test_case_does_not_matter(self, reports, tmp_path):
        write_report(reports("protopnet"), tmp_path / "new" / "Report.JSON")
        assert json.loads((tmp_path / "new" / "Report.JSON").read_text())["schema"] == SCHEMA_VERSION

    def test_a_folder(self, tmp_path):
        (tmp_path / "x.html").mkdir()
        with pytest.raises(UserError, match="folder"):
            require_format(tmp_path / "x.html")

    def test_without_weasyprint(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "weasyprint", None)
        with pytest.raises(UserError) as caught:
            require_format(tmp_path / "x.pdf")
        assert "pip install weasyprint" in caught.value.fix

    def test_without_pango(self, monkeypatch, tmp_path):
        (tmp_path / "weasyprint.py").write_text("raise OSError(\"cannot load library 'libpango-1.0-0'\")")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "weasyprint", raising=False)
        with pytest.raises(UserError, match="libpango") as caught:
            require_format(tmp_path / "x.pdf")
        assert "apt install libpango-1.0-0" in caught.value.fix
        assert require_format(tmp_path / "x.html") == ".html"
