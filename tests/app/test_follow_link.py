"""Where links lead: to what they name, and to something sensible where that is not here."""

from __future__ import annotations

import dataclasses
import shutil
from types import SimpleNamespace

import pytest

from protoexplain.errors import UserError
from protoexplain_app import library as library_module
from protoexplain_app.library import Choice
from protoexplain_app.links import Address, parse
from protoexplain_app.panel.actions import default_checkpoint, facts, follow_link, frame_of, listing

TABS = ("explain", "prototypes")


def test_a_first_visit_shows_a_model_whose_prototypes_are_parts_and_its_first_picture(library):
    target = follow_link(library, Address(), None, TABS)
    choice = target.choice
    assert choice.model == "a-protopnet"
    assert choice.image == library.examples.of(library.checkpoint(choice))[0].key
    assert choice.asked.tab == "explain"
    assert target.notices == ()


@pytest.mark.parametrize(("known", "opened"), [({2, 3}, 2), ({0}, 0), ({9}, 0), (set(), 0)])
def test_the_first_picture_to_be_seen_resembles_what_was_learned(known, opened, library, monkeypatch):
    keys = [image.key for image in library.examples.of(library.store.listed("a-protopnet").checkpoint)]

    def looked(_, image):
        if keys.index(image.key) == 1:
            raise UserError("cannot be read")
        return SimpleNamespace(forward_pass=SimpleNamespace(familiar=keys.index(image.key) in known))

    monkeypatch.setattr(library_module, "run_model", looked)
    assert follow_link(library, Address(), None, TABS).choice.image == keys[opened]


def test_the_most_accurate_model_of_those_is_the_favourite(library):
    listed, _ = library.store.scan()
    protopnet, cbc = listed
    better = dataclasses.replace(
        protopnet, name="z", checkpoint=dataclasses.replace(protopnet.checkpoint, metrics={"test_accuracy": 0.99})
    )
    assert default_checkpoint([cbc, protopnet, better]) == better
    assert default_checkpoint([cbc]) == cbc


def test_a_link_opens_the_same_view(library):
    keys = [input_image.key for input_image in library.examples.of(library.store.scan()[0][0].checkpoint)]
    before = Choice("b-cbc", keys[3])
    words = "&".join(f"{name}={value}" for name, value in before.address.items())
    choice = follow_link(library, parse(f"{words}&tab=prototypes&prototype=3"), None, TABS).choice
    assert choice.address == before.address
    assert choice.parameters_for("prototypes") == {"prototype": "3"}
    assert choice.parameters_for("explain") == {}


def test_what_a_link_does_not_say_stays(library):
    first = follow_link(library, Address(), None, TABS).choice
    here = dataclasses.replace(first, upload="/somewhere/mine.jpg")
    choice = follow_link(library, Address(tab="prototypes"), here, TABS, "explain").choice
    assert (choice.model, choice.upload, choice.asked.tab) == (here.model, here.upload, "prototypes")
    assert follow_link(library, Address(), here, TABS, "prototypes").choice.asked.tab == "prototypes"
    picture = follow_link(library, Address(image=first.image), here, TABS).choice
    assert picture.upload == ""


def test_the_same_link_can_be_followed_again(library):
    link = parse("tab=prototypes&prototype=3")
    once = follow_link(library, link, None, TABS).choice
    assert follow_link(library, link, once, TABS).choice != once


@pytest.mark.parametrize("model", ["../a-protopnet", "nothing", "/etc"])
def test_an_unknown_model_is_told_and_replaced(library, model):
    target = follow_link(library, Address(model=model), None, TABS)
    assert target.choice.model == "a-protopnet"
    assert model in target.notices[0]


def test_an_unknown_picture_and_an_unknown_tab_are_replaced(library):
    target = follow_link(library, Address(image="../../etc/passwd", tab="admin"), None, TABS)
    assert "passwd" in target.notices[0]
    assert "passwd" not in target.choice.image
    assert target.choice.asked.tab == "explain"


def test_a_frame_stays_with_its_upload_only(library):
    first = follow_link(library, Address(), None, TABS).choice
    framed = dataclasses.replace(first, upload="/somewhere/mine.jpg", frame=(0, 0, 0.5, 0.5))
    assert follow_link(library, Address(tab="prototypes"), framed, TABS).choice.frame == framed.frame
    assert follow_link(library, Address(image=first.image), framed, TABS).choice.frame is None


def test_the_whole_picture_is_no_frame():
    assert frame_of({"left": 0, "top": 0, "right": 1, "bottom": 1}) is None
    assert frame_of({"left": 0.1, "top": 0, "right": 1, "bottom": 0.5}) == (0.1, 0, 1, 0.5)


@pytest.mark.parametrize(
    "edges",
    [{}, {"left": 0.5, "right": 0.5}, {"left": -1}, {"right": 2}, {"top": "0"}, {"left": float("nan")}, {"top": None}],
)
def test_what_is_no_part_of_a_picture_is_refused(edges):
    whole = {"left": 0, "top": 0, "right": 1, "bottom": 1}
    with pytest.raises(UserError):
        frame_of({**whole, **edges} if edges else {})


def test_uploads_are_in_no_address():
    assert Choice("m", "i", "secret.jpg").address == {"model": "m"}


def test_without_a_checkpoint_nothing_is_chosen(library, folder):
    shutil.rmtree(folder / "a-protopnet")
    shutil.rmtree(folder / "b-cbc")
    target = follow_link(library, Address(model="a-protopnet"), None, TABS)
    assert (target.choice.model, target.listed) == ("", ())


def test_a_new_folder_changes_the_listing_and_nothing_else_does(library, folder):
    before = listing(follow_link(library, Address(), None, TABS))
    assert listing(follow_link(library, Address(tab="prototypes"), None, TABS)) == before
    shutil.copytree(folder / "a-protopnet", folder / "c-new")
    assert listing(follow_link(library, Address(), None, TABS)) != before


def test_facts_come_from_the_checkpoint(store):
    checkpoint = store.listed("a-protopnet").checkpoint
    shown = facts(checkpoint)
    assert (shown.family, shown.classes, shown.prototypes) == ("ProtoPNet", 4, 16)
    assert shown.accuracy == 0.875
    assert shown.cropped
    without = dataclasses.replace(checkpoint, metrics={"test_accuracy": None})
    assert facts(without).accuracy is None
