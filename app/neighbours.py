"""The patches nearest to each prototype: found in the background on request, kept on disk by weights and data."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from app.courtesy import Courtesy
from app.examples import Examples
from protoexplain.errors import UserError
from protoexplain.explain.prototype import SplitExplanation, explain_prototypes
from protoexplain.explain.session import Explainer
from protoexplain.io.atomic import write_file
from protoexplain.io.cache import cache_folder
from protoexplain.io.checkpoint import Checkpoint
from protoexplain.io.manifest import MAX_JSON_BYTES, read_limited
from protoexplain.training.splits import read_data_of

log = logging.getLogger(__name__)
NEAREST = 5
SPLITS = ("train", "test")
_KEPT = TypeAdapter(tuple[dict[str, SplitExplanation], ...])


@dataclass(frozen=True)
class Search:
    """What is known of the nearest patches.

    Args:
        prototypes: Of each, split -> its images; empty until all pictures were looked at.
        done: Pictures looked at.
        total: Pictures to look at; 0 where nobody has asked.
        trouble: Why it cannot be found out.
    """

    prototypes: tuple[Mapping[str, SplitExplanation], ...] = ()
    done: int = 0
    total: int = 0
    trouble: str = ""

    @property
    def under_way(self) -> bool:
        return self.total > 0 and not self.prototypes and not self.trouble


class Neighbours:
    """The nearest patches of all models; may be used from any thread.

    Args:
        examples: The data set.
        courtesy: Gives way to visitors.
        folder: Where results are kept; by default a folder of the user's cache.
    """

    def __init__(self, examples: Examples, courtesy: Courtesy, folder: Path | None = None) -> None:
        self.examples, self.courtesy, self.folder = examples, courtesy, folder or cache_folder() / "neighbours"
        self._searches: dict[str, Search] = {}
        self._lock, self._turn = threading.Lock(), threading.Lock()

    def known(self, checkpoint: Checkpoint) -> Search:
        """What is known without asking, from memory or from disk."""
        key = self._key(checkpoint)
        with self._lock:
            if key not in self._searches:
                self._searches[key] = self._kept(checkpoint)
            return self._searches[key]

    def ask(self, explainer: Explainer) -> Search:
        """What is known now; where it is not all, the pictures are looked through in the background."""
        key, known = self._key(explainer.checkpoint), self.known(explainer.checkpoint)
        if known.prototypes or known.under_way or self.examples.images is None:
            return known
        with self._lock:
            if self._searches[key].under_way:
                return self._searches[key]
            self._searches[key] = Search(total=len(self.examples.images.records))
        threading.Thread(target=self._run, args=(explainer, self.examples.images.root, key), daemon=True).start()
        return self._searches[key]

    def _run(self, explainer: Explainer, data: Path, key: str) -> None:
        checkpoint = explainer.checkpoint
        try:
            with self._turn:
                images = read_data_of(checkpoint, data)
                config = checkpoint.config.data.model_copy(update={"workers": 0})
                splits = {name: images.dataset(getattr(images, name), config) for name in SPLITS}

                def progress(done: int, total: int) -> None:
                    self._note(key, Search(done=done, total=total))
                    self.courtesy.give_way()

                found = explain_prototypes(
                    explainer.model,
                    checkpoint.prototypes,
                    checkpoint.classes,
                    splits,
                    NEAREST,
                    progress=progress,
                )
            prototypes = tuple(dict(entry.splits) for entry in found)
            self._note(key, Search(prototypes))
            write_file(self._file(checkpoint), _KEPT.dump_json(prototypes))
        except UserError as error:
            log.warning("the nearest patches are not kept or were not found: %s", error)
            if not self._searches[key].prototypes:
                self._note(key, Search(trouble=error.what))
        except Exception:
            log.exception("looking for the nearest patches failed")
            self._note(key, Search(trouble="looking through the pictures failed; the program's log says more"))

    def _note(self, key: str, search: Search) -> None:
        with self._lock:
            self._searches[key] = search

    def _kept(self, checkpoint: Checkpoint) -> Search:
        images = self.examples.images_of(checkpoint)
        if images is None:
            return Search(trouble="the data set of the model is not at hand")
        try:
            found = _KEPT.validate_json(read_limited(self._file(checkpoint), MAX_JSON_BYTES))
        except (UserError, OSError, ValidationError):
            return Search()
        labels = range(len(checkpoint.classes))
        near = [near for entry in found for split in entry.values() for near in (*split.nearest, *split.nearest_own)]
        sound = all(neighbour.label in labels for neighbour in near) and len(found) == len(checkpoint.prototypes)
        return Search(found) if sound else Search()

    def _file(self, checkpoint: Checkpoint) -> Path:
        return self.folder / f"{self._key(checkpoint)}.json"

    def _key(self, checkpoint: Checkpoint) -> str:
        return f"{checkpoint.weights_sha256[:32]}-{(self.examples.fingerprint or 'none')[:32]}"
