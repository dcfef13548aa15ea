"""HTML of the frame around the tabs: title, help texts, facts, examples."""

from __future__ import annotations

from collections.abc import Sequence

from protoexplain.data.dataset_view import DatasetView
from protoexplain_app.library import Choice
from protoexplain_app.models import BrokenCheckpoint
from protoexplain_app.panel.actions import Facts
from protoexplain_app.panel.offered_images import OfferedImages, Query
from protoexplain_app.templating import page
from protoexplain_app.uploads import LARGEST

OTHERS = "Pictures of another data set"


def header() -> str:
    """Shortcuts for the keyboard, and the title."""
    return page("panel/header.html")


def helps() -> str:
    """The help texts that question marks open."""
    return page("panel/helps.html")


def address(choice: Choice) -> str:
    """What a link to the shown model and picture says."""
    return page("panel/address.html", parameters=choice.address, own=bool(choice.upload))


def facts(shown: Facts, broken: Sequence[BrokenCheckpoint] = ()) -> str:
    """What a checkpoint says about itself; checkpoints that cannot be used, with the reason."""
    return page("panel/facts.html", facts=shown) + unusable(broken)


def unusable(broken: Sequence[BrokenCheckpoint]) -> str:
    return page("panel/broken.html", broken=broken) if broken else ""


def notices(sentences: Sequence[str]) -> str:
    """What became of a link that names what is not here."""
    return page("panel/notices.html", sentences=sentences) if sentences else ""


def own() -> str:
    """Where visitors give pictures of theirs."""
    return page("panel/own.html", limit=LARGEST)


def query_form(query: Query, classes: Sequence[str], view: DatasetView | None, refused: str = "") -> str:
    """Which pictures are shown, as a form, under a heading that says where they come from.

    Args:
        query: What is shown.
        classes: Names of the classes.
        view: The data set; the model can be asked about its pictures.  None where they come from the checkpoint.
        refused: Why the visitor cannot ask what the model says about all of them; empty who can.
    """
    title = "Pictures it learned from" if view is None else OTHERS if view.foreign else "Test pictures"
    return page("panel/query.html", query=query, classes=classes, asks=view is not None, title=title, refused=refused)


def pictures(offered: OfferedImages, query: Query, model: str, classes: Sequence[str]) -> str:
    """Small pictures that link to themselves."""
    return page("panel/pictures.html", offered=offered, query=query, model=model, classes=classes)
