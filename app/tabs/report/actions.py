"""What goes into a report: sections, and the chosen picture with or without others."""

from __future__ import annotations

from dataclasses import dataclass

from app.examples import Subject
from app.library import Choice, Library
from app.links import Words
from app.tabs.explain.actions import region_of_interest
from protoexplain.errors import UserError
from protoexplain.explain.explainer import Explainer
from protoexplain.report.gather import Given, Wanted, require_sections
from protoexplain.report.report import SECTIONS

OFFERED = 10
"""Pictures that can be added to the chosen one."""
IMAGES = "images"


@dataclass(frozen=True)
class Wish:
    """What goes into a report.

    Args:
        sections: Names in `SECTIONS`.
        chosen: Whether the chosen picture is explained.
        others: Places, among those offered, of further pictures.
    """

    sections: tuple[str, ...] = tuple(SECTIONS)
    chosen: bool = True
    others: tuple[int, ...] = ()

    @property
    def words(self) -> dict[str, str]:
        """The words of an address that bring the same wish."""
        pictures = [*(["chosen"] if self.chosen else []), *map(str, self.others)]
        return {"sections": ".".join(self.sections), "pictures": ".".join(pictures) or "none"}


def read_wish(words: Words) -> Wish:
    """From the words of an address; what they do not say is as in `Wish`, what is unknown is left out."""
    named = words.get("sections")
    sections = Wish.sections if named is None else tuple(name for name in SECTIONS if name in named.split("."))
    pictures = words.get("pictures", "chosen").split(".")
    return Wish(sections, "chosen" in pictures, tuple(i for i in range(OFFERED) if str(i) in pictures))


def read_form(words: Words) -> Wish:
    """From the fields of the form, of which only the ticked ones are told."""
    sections = tuple(name for name in SECTIONS if f"section_{name}" in words)
    return Wish(sections, "chosen" in words, tuple(i for i in range(OFFERED) if f"picture_{i}" in words))


def offered(library: Library, choice: Choice) -> tuple[Subject, ...]:
    """Pictures that can be added to the chosen one.

    Raises:
        UserError: There is no checkpoint.
    """
    subjects = library.examples.of(library.checkpoint(choice))
    return tuple(subject for subject in subjects if choice.upload or subject.key != choice.image)[:OFFERED]


def make(library: Library, choice: Choice, wish: Wish) -> str:
    """Begin the report; returns its token.

    Raises:
        UserError: Nothing was chosen, or there is no checkpoint or picture.
    """
    sections = require_sections(wish.sections)
    explainer = library.explainer(choice)
    subjects: list[Subject] = []
    if IMAGES in sections:
        others = offered(library, choice)
        subjects = [library.subject(choice)] if wish.chosen else []
        subjects += [others[i] for i in wish.others if i < len(others)]
        if not subjects:
            fix = "tick a picture, or leave out the section of explained pictures"
            raise UserError("no picture is chosen for the report", "", fix)
    given = [_given(explainer, subject) for subject in subjects]
    images = library.examples.images_of(explainer.checkpoint)
    originals = {record.id: record.path for record in images.records} if images else {}
    return library.reports.start(explainer, given, Wanted(sections, originals=originals), choice.model)


def _given(explainer: Explainer, subject: Subject) -> Given:
    """The region of a picture that cannot be read is unknown; the report will name the picture."""
    try:
        box = region_of_interest(explainer, subject)
    except UserError:
        box = None
    truth = subject.truth if subject.truth in explainer.checkpoint.classes else None
    return Given(subject.path, subject.name, box, truth)
