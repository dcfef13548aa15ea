"""Boxes are tested when their explanation is shown already: that takes longer than the explanation itself, nobody waits
for it, and it ends where the visitor has gone on to something else."""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import NamedTuple

from protoexplain.explanations.evidence.occlusion_test import BoxOcclusionTest
from protoexplain_app.library import Choice, Library
from protoexplain_app.tabs.explain.actions import occlusion_tests

WHEN_LOOKED_AT = "(...inputs) => new Promise((go_on) => setTimeout(() => go_on(inputs), 300))"
"""Lets the browser draw what is there, and the visitor go on to something else, before it asks for more."""


class Explained(NamedTuple):
    """Which explanation a visitor sees: of what, for which class, with how many rows."""

    choice: Choice
    label: int
    rows: int


@dataclass
class DueTests:
    """The explanation whose boxes are to be tested; the server holds this for each open page.

    Args:
        asked: How many explanations were asked for.
        explained: The last one, once it is made and until its tests begin.
    """

    asked: int = 0
    explained: Explained | None = None

    def withdraw(self) -> None:
        """Another explanation was asked for."""
        self.asked += 1
        self.explained = None

    def run(self, library: Library) -> tuple[dict[int, BoxOcclusionTest], int] | None:
        """Test what is due, by prototype, and number the visit; None where nothing is, or the visitor has gone on.

        Raises:
            UserError: The model or the picture cannot be read any more.
        """
        asked, explained, self.explained = self.asked, self.explained, None
        if explained is None:
            return None

        def go_on(done: int, total: int) -> None:
            if self.asked != asked:
                raise CancelledError

        choice, label, rows = explained
        try:
            explainer, image = library.explainer(choice), library.input_image(choice)
            return occlusion_tests(explainer, image, label, rows, go_on), choice.visit
        except CancelledError:
            return None
