"""All that can be chosen, and what is chosen; tabs know nothing else of the page."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain_app.examples import Examples
from protoexplain_app.image_predictions import PredictionJobs
from protoexplain_app.input_image import Frame, InputImage, run_model
from protoexplain_app.links import Address, Parameters
from protoexplain_app.measurements import Measurements
from protoexplain_app.models import ModelStore
from protoexplain_app.roles import EVERYTHING, Access
from protoexplain_app.tabs.edit.edits import Edits
from protoexplain_app.tabs.prototypes.nearest import Neighbours
from protoexplain_app.tabs.report.reports import Reports

NOWHERE = Address()
OPENING = 5
"""Pictures that may be the first one to be shown."""


@dataclass(frozen=True)
class Choice:
    """What is to be shown; held by the server, never sent by a browser.

    Args:
        model: Name of a checkpoint in the store, empty where there is none.
        image: Key of an example.
        upload: Path of an uploaded picture, which goes before the example.
        frame: Of the object in the uploaded picture, None for the whole picture.
        asked: What a link asked of a tab beyond that; empty again when something else is chosen.
        visit: Counts the links that were followed, so that the same one can be followed again.
    """

    model: str = ""
    image: str = ""
    upload: str = ""
    frame: Frame | None = None
    asked: Address = NOWHERE
    visit: int = 0

    def parameters_for(self, tab: str) -> Parameters:
        """What a link asked of a tab."""
        return self.asked.of(tab)

    @property
    def address(self) -> Mapping[str, str]:
        """The parameters for model and image; uploads stay with their owner."""
        return {"model": self.model} if self.upload else {"model": self.model, "image": self.image}


@dataclass(frozen=True)
class Library:
    """All that can be chosen."""

    store: ModelStore
    examples: Examples
    image_predictions: PredictionJobs
    measurements: Measurements
    neighbours: Neighbours
    reports: Reports
    edits: Edits
    access: Access = EVERYTHING
    _opening: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def checkpoint(self, choice: Choice) -> Checkpoint:
        """The small files of the chosen checkpoint.

        Raises:
            UserError: There is none.
        """
        if not choice.model:
            raise UserError(
                "there is no checkpoint to explain with",
                "",
                f"train one into {self.store.root}, or start the app with --checkpoints FOLDER",
            )
        return self.store.listed(choice.model).checkpoint

    def explainer(self, choice: Choice) -> Explainer:
        """The chosen model.

        Raises:
            UserError: There is none, or it cannot be loaded.
        """
        self.checkpoint(choice)
        return self.store.explainer(choice.model)

    def opening_image(self, model: str) -> str:
        """Key of the picture that a first visit shows: the first of a few that resembles what the model has learned.

        Where none does it is the first of all, and where there are no pictures it is empty.  The model looks at them
        when this is asked for the first time.
        """
        checkpoint = self.store.listed(model).checkpoint
        with self._lock:
            if checkpoint.sha256 not in self._opening:
                images = self.examples.of(checkpoint)
                known = (image.key for image in images[:OPENING] if self._resembles(model, image))
                self._opening[checkpoint.sha256] = next(known, images[0].key if images else "")
            return self._opening[checkpoint.sha256]

    def _resembles(self, model: str, image: InputImage) -> bool:
        try:
            return run_model(self.store.explainer(model), image).forward_pass.familiar is not False
        except UserError:
            return False

    def input_image(self, choice: Choice) -> InputImage:
        """The chosen picture.

        Raises:
            UserError: There is none.
        """
        if choice.upload:
            path = Path(choice.upload)
            return InputImage("", path.name, path, frame=choice.frame)
        if not choice.image:
            raise UserError("no picture is chosen", "", "drop one in, or choose an example")
        return self.examples.find(self.checkpoint(choice), choice.image)
