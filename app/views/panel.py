"""HTML of the frame around the tabs: title, help texts, facts, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.actions.panel import Facts
from app.examples import Subject
from app.library import Choice
from app.state import Broken, Listed
from app.views.templating import page
from protoexplain.models.registry import get_family


def intro() -> str:
    """Title, what is seen here in three sentences, and the help texts that question marks open."""
    return page("intro.html")


def address(choice: Choice) -> str:
    """What a link to the shown model and picture says."""
    return page("address.html", words=choice.address, own=bool(choice.upload))


def facts(shown: Facts, broken: Sequence[Broken] = ()) -> str:
    """What a checkpoint says about itself; checkpoints that cannot be used, with the reason."""
    return page("facts.html", facts=shown) + unusable(broken)


def unusable(broken: Sequence[Broken]) -> str:
    return page("broken.html", broken=broken) if broken else ""


def notices(sentences: Sequence[str]) -> str:
    """What became of a link that names what is not here."""
    return page("notices.html", sentences=sentences) if sentences else ""


def titles(listed: Sequence[Listed]) -> list[tuple[str, str]]:
    """Labels of the list of checkpoints, and their names; the folder is told where families repeat."""
    families = [get_family(entry.checkpoint.config.family).title for entry in listed]
    return [
        (title if families.count(title) == 1 else f"{title} ({entry.name})", entry.name)
        for title, entry in zip(families, listed, strict=True)
    ]


def pictures(subjects: Sequence[Subject], choice: Choice) -> str:
    """Small pictures that link to themselves."""
    tiles = [(subject, _link(subject, choice)) for subject in subjects]
    return page("pictures.html", tiles=tiles, chosen="" if choice.upload else choice.image)


def _link(subject: Subject, choice: Choice) -> Mapping[str, str]:
    return {"model": choice.model, "image": subject.key}
