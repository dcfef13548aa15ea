"""What goes into a report: sections, and the chosen picture with or without others."""

from __future__ import annotations

from dataclasses import dataclass

from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain.report.gather import ReportImage, ReportOptions, require_sections
from protoexplain.report.report import SECTIONS
from protoexplain_app.input_image import InputImage, region_of_interest
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import Parameters
from protoexplain_app.roles import Role
from protoexplain_app.tabs.report.reports import DEED

OFFERED = 10
"""Pictures that can be added to the chosen one."""
IMAGES = "images"


@dataclass(frozen=True)
class Query:
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
    def parameters(self) -> dict[str, str]:
        """The parameters of an address that bring the same query."""
        pictures = [*(["chosen"] if self.chosen else []), *map(str, self.others)]
        return {"sections": ".".join(self.sections), "pictures": ".".join(pictures) or "none"}


def parse_query(parameters: Parameters) -> Query:
    """From the parameters of an address; what they do not say is as in `Query`, what is unknown is left out."""
    named = parameters.get("sections")
    sections = Query.sections if named is None else tuple(name for name in SECTIONS if name in named.split("."))
    pictures = parameters.get("pictures", "chosen").split(".")
    return Query(sections, "chosen" in pictures, tuple(i for i in range(OFFERED) if str(i) in pictures))


def read_form(parameters: Parameters) -> Query:
    """From the fields of the form, which hold only what is ticked."""
    sections = tuple(name for name in SECTIONS if f"section_{name}" in parameters)
    return Query(sections, "chosen" in parameters, tuple(i for i in range(OFFERED) if f"picture_{i}" in parameters))


def offered(library: Library, choice: Choice) -> tuple[InputImage, ...]:
    """Pictures that can be added to the chosen one.

    Raises:
        UserError: There is no checkpoint.
    """
    images = library.examples.of(library.checkpoint(choice))
    return tuple(image for image in images if choice.upload or image.key != choice.image)[:OFFERED]


def make(library: Library, choice: Choice, query: Query) -> str:
    """Begin the report; returns its token.

    Raises:
        UserError: Nothing was chosen, there is no checkpoint or picture, or who asks may not begin work.
    """
    library.access.require(Role.MEASURE, DEED)
    sections = require_sections(query.sections)
    explainer = library.explainer(choice)
    images: list[InputImage] = []
    if IMAGES in sections:
        others = offered(library, choice)
        images = [library.input_image(choice)] if query.chosen else []
        images += [others[i] for i in query.others if i < len(others)]
        if not images:
            fix = "tick a picture, or leave out the section of explained pictures"
            raise UserError("no picture is chosen for the report", "", fix)
    shown = [_report_image(explainer, image) for image in images]
    image_set = library.examples.images_of(explainer.checkpoint)
    originals = {record.id: record.path for record in image_set.records} if image_set else {}
    return library.reports.start(explainer, shown, ReportOptions(sections, originals=originals), choice.model)


def _report_image(explainer: Explainer, image: InputImage) -> ReportImage:
    """The region of a picture that cannot be read is unknown; the report will name the picture."""
    try:
        box = region_of_interest(explainer, image)
    except UserError:
        box = None
    return ReportImage(image.path, image.name, box, image.known_truth(explainer.checkpoint))
