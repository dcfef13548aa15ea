"""What a model says about each test picture: asked once in the background, kept on disk by weights and data."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, TypeAdapter, ValidationError

from app.courtesy import Courtesy
from app.examples import Examples
from protoexplain.data.loading import ImageDataset
from protoexplain.errors import UserError
from protoexplain.explain.session import Explainer
from protoexplain.io.atomic import write_file
from protoexplain.io.cache import cache_folder
from protoexplain.io.checkpoint import Checkpoint
from protoexplain.io.manifest import MAX_JSON_BYTES, read_limited

log = logging.getLogger(__name__)
BATCH = 8
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Guess:
    """What a model says about one picture.

    Args:
        label: The best class.
        probability: Of it.
        second: Probability of the second best class.
        truth: Class that the data set gives it.
    """

    label: Annotated[int, Field(ge=0)]
    probability: Share
    second: Share
    truth: Annotated[int, Field(ge=0)]

    @property
    def right(self) -> bool:
        return self.label == self.truth

    @property
    def lead(self) -> float:
        """Of the best class over the second."""
        return self.probability - self.second


@dataclass(frozen=True)
class Survey:
    """All guesses of a model, or how far they are.

    Args:
        guesses: Key of a picture -> guess; complete only where `done` equals `total`.
        done: Pictures looked at.
        total: Pictures to look at; 0 where there is nothing to ask.
        trouble: Why there is nothing to ask.
    """

    guesses: Mapping[str, Guess]
    done: int
    total: int
    trouble: str = ""

    @property
    def complete(self) -> bool:
        return 0 < self.total == self.done


_GUESSES = TypeAdapter(dict[str, Guess])


class Surveys:
    """The surveys of all models on the test pictures.

    Args:
        examples: The pictures.
        courtesy: Gives way to visitors.
        folder: Where surveys are kept; by default a folder of the user's cache.
    """

    def __init__(self, examples: Examples, courtesy: Courtesy, folder: Path | None = None) -> None:
        self.examples, self.courtesy, self.folder = examples, courtesy, folder or cache_folder() / "surveys"
        self._surveys: dict[str, Survey] = {}
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def known(self, checkpoint: Checkpoint) -> Survey:
        """What is known without asking: from memory or from disk."""
        key = self._key(checkpoint)
        with self._lock:
            if key not in self._surveys:
                self._surveys[key] = self._kept(checkpoint)
            return self._surveys[key]

    def ask(self, explainer: Explainer) -> Survey:
        """What is known now; where it is not all, the model is asked in the background."""
        checkpoint = explainer.checkpoint
        survey, key = self.known(checkpoint), self._key(checkpoint)
        if survey.complete or survey.trouble or survey.total:
            return survey
        try:
            dataset = self._dataset(checkpoint)
        except UserError as error:
            return self._note(key, Survey({}, 0, 0, error.what))
        with self._lock:
            if self._surveys[key].total:
                return self._surveys[key]
            self._surveys[key] = Survey({}, 0, len(dataset))
        threading.Thread(target=self._run, args=(explainer, dataset, key), daemon=True).start()
        return self._surveys[key]

    def _dataset(self, checkpoint: Checkpoint) -> ImageDataset:
        images = self.examples.images
        if images is None:
            raise UserError("there is no data set whose test pictures could be looked at")
        checkpoint.require_classes(images.classes, images.root)
        keys = {subject.key for subject in self.examples.of(checkpoint)}
        records = [record for record in images.records if record.id in keys]
        return ImageDataset(records, checkpoint.data.crop, checkpoint.config.data.image_size, cache_bytes=0)

    def _run(self, explainer: Explainer, dataset: ImageDataset, key: str) -> None:
        guesses: dict[str, Guess] = {}
        total = len(dataset)
        try:
            with self._turn:
                for start in range(0, total, BATCH):
                    self.courtesy.give_way()
                    places = range(start, min(start + BATCH, total))
                    guesses |= _guesses(explainer, dataset, places)
                    self._note(key, Survey(dict(guesses), places.stop, total))
            self._keep(explainer.checkpoint, guesses)
        except Exception:
            log.exception("looking at the test pictures failed")
            self._note(key, Survey({}, 0, 0, "looking at the test pictures failed; the program's log says more"))

    def _note(self, key: str, survey: Survey) -> Survey:
        with self._lock:
            self._surveys[key] = survey
        return survey

    def _key(self, checkpoint: Checkpoint) -> str:
        return f"{checkpoint.weights_sha256[:32]}-{(self.examples.fingerprint or 'none')[:32]}"

    def _kept(self, checkpoint: Checkpoint) -> Survey:
        path = self.folder / f"{self._key(checkpoint)}.json"
        if self.examples.images is None or not path.is_file():
            return Survey({}, 0, 0)
        try:
            guesses = _GUESSES.validate_json(read_limited(path, MAX_JSON_BYTES), strict=True)
        except (UserError, ValidationError):
            return Survey({}, 0, 0)
        classes = len(checkpoint.classes)
        if any(guess.label >= classes or guess.truth >= classes for guess in guesses.values()):
            return Survey({}, 0, 0)
        return Survey(guesses, len(guesses), len(guesses))

    def _keep(self, checkpoint: Checkpoint, guesses: dict[str, Guess]) -> None:
        try:
            write_file(self.folder / f"{self._key(checkpoint)}.json", _GUESSES.dump_json(guesses))
        except UserError as error:
            log.warning("the survey is not kept: %s", error.what)


@torch.inference_mode()
def _guesses(explainer: Explainer, dataset: ImageDataset, places: range) -> dict[str, Guess]:
    """Unreadable pictures are left out."""
    found = []
    for place in places:
        try:
            found.append((place, dataset.pixels(place)[0]))
        except UserError:
            continue
    if not found:
        return {}
    pictures = torch.stack([pixels for _, pixels in found]).float().div_(255)
    probabilities = explainer.model.probabilities(explainer.model(pictures).logits)
    best = probabilities.topk(min(2, probabilities.shape[1]))
    told = zip(found, best.indices.tolist(), best.values.clamp(0, 1).tolist(), strict=True)
    return {
        dataset.records[place].id: Guess(labels[0], values[0], values[-1], dataset.records[place].label)
        for (place, _), labels, values in told
    }
