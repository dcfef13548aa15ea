"""The checkpoints of a folder: what is there, what is broken and why, and the few models kept in memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cachetools import LRUCache

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.checkpoint.folders import find_checkpoints
from protoexplain.class_names import readable
from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.prototypes.patch_pictures import pictures_of
from protoexplain.io.manifest import MANIFEST, MEASUREMENTS
from protoexplain.models.registry import get_family
from protoexplain_app.telemetry import MODEL_LOADS, timed

log = logging.getLogger(__name__)
MAX_MODELS = 3


@dataclass(frozen=True)
class ListedCheckpoint:
    """A checkpoint that can be chosen.

    Args:
        name: Its folder below the scanned one; the only name that browsers may send.
        checkpoint: Its small files.
    """

    name: str
    checkpoint: Checkpoint


@dataclass(frozen=True)
class BrokenCheckpoint:
    """A folder that should be a checkpoint.  Args: name: below the scanned folder; reason: one sentence."""

    name: str
    reason: str


@dataclass(frozen=True)
class _FolderContent:
    """What a folder held when it was last read; it is read again only after its files changed.

    Args:
        changed: When they did, see `_last_change`; None where it is to be read again in any case.
        result: The checkpoint, or why there is none.
    """

    changed: tuple[int, ...] | None
    result: Checkpoint | UserError


def mark_of(checkpoint: Checkpoint) -> str:
    """Names a checkpoint in addresses of pictures; stays when measurements are added to it."""
    return checkpoint.weights_sha256[:16]


def titles(listed: Sequence[ListedCheckpoint]) -> list[tuple[str, str]]:
    """Labels of a list of checkpoints, and their names: family and data set, after the folder where both repeat."""
    labels = [
        f"{get_family(entry.checkpoint.config.family).title} on {readable(entry.checkpoint.data.name)}"
        for entry in listed
    ]
    return [
        (label if labels.count(label) == 1 else f"{entry.name}: {label}", entry.name)
        for label, entry in zip(labels, listed, strict=True)
    ]


class ModelStore:
    """Finds checkpoints and keeps the models that were used last.

    Every method may be called from any thread.

    Args:
        root: Folder to scan.
        max_models: That stay in memory; the one that was used longest ago makes room.
        device: Where they run.
    """

    def __init__(self, root: Path, max_models: int = MAX_MODELS, device: str = "cpu") -> None:
        self.root, self.device = root.resolve(), device
        self._lock = threading.RLock()
        self._contents: dict[str, _FolderContent] = {}
        self._listed: dict[str, ListedCheckpoint] = {}
        self._loaded: LRUCache[str, Explainer] = LRUCache(max_models)

    def scan(self) -> tuple[tuple[ListedCheckpoint, ...], tuple[BrokenCheckpoint, ...]]:
        """Read the folder anew: the checkpoints that can be chosen, and those that cannot with the reason.

        A model in memory stays available when its folder vanishes or breaks.
        """
        with self._lock:
            unreadable: list[OSError] = []
            places = {self._name(path): path for path in find_checkpoints(self.root, unreadable.append)}
            self._contents = {name: self._read(name, path) for name, path in places.items()}
            listed: dict[str, ListedCheckpoint] = {}
            broken = [BrokenCheckpoint(self._name(Path(error.filename)), _reason(error)) for error in unreadable]
            for name, seen in self._contents.items():
                if isinstance(seen.result, Checkpoint):
                    listed[name] = ListedCheckpoint(name, seen.result)
                else:
                    broken.append(BrokenCheckpoint(name, seen.result.what))
            for name in self._loaded:
                listed.setdefault(name, self._listed[name])
            self._listed = dict(sorted(listed.items()))
            return tuple(self._listed.values()), tuple(broken)

    def listed(self, name: str) -> ListedCheckpoint:
        """A checkpoint by name, as of the last scan.

        Raises:
            UserError: There is none.
        """
        with self._lock:
            if name not in self._listed:
                raise UserError(f"there is no checkpoint '{name}'", "", "reload the page and choose another one")
            return self._listed[name]

    def explainer(self, name: str) -> Explainer:
        """The model of a checkpoint, from memory or from its folder.

        Raises:
            UserError: There is none, or it cannot be loaded and was not in memory.
        """
        with self._lock:
            checkpoint = self.listed(name).checkpoint
            loaded = self._loaded.get(name)
            if loaded is None or loaded.checkpoint != checkpoint:
                try:
                    with timed(MODEL_LOADS):
                        self._loaded[name] = loaded = Explainer(checkpoint, self.device)
                except UserError:
                    if loaded is None:
                        raise
            return loaded

    def titles(self) -> Mapping[str, str]:
        """Name -> title for people, of the checkpoints that can be chosen now."""
        return {name: title for title, name in titles(self.scan()[0])}

    def has_loaded(self) -> bool:
        """Whether a model is in memory."""
        return bool(self._loaded)

    def picture(self, mark: str, index: int, kind: Literal["patch", "source"]) -> bytes:
        """The encoded picture of a prototype.

        Args:
            mark: Of its checkpoint, see `mark_of`.
            index: Number of the prototype.
            kind: The patch, or the whole training picture.

        Raises:
            UserError: There is none.
        """
        with self._lock:
            known = [entry.checkpoint for entry in self._listed.values()]
        for checkpoint in known:
            if mark_of(checkpoint) == mark and 0 <= index < len(checkpoint.prototypes):
                content = pictures_of(checkpoint).encoded(index, kind)
                if content is not None:
                    return content
        raise UserError("there is no such picture")

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path != self.root else path.name

    def _read(self, name: str, path: Path) -> _FolderContent:
        """What a folder holds; whatever is wrong with it is its own trouble and no other's."""
        before, changed = self._contents.get(name), None
        try:
            changed = _last_change(path)
            if before is not None and before.changed == changed:
                return before
            return _FolderContent(changed, Checkpoint.load(path))
        except UserError as error:
            return _FolderContent(None if isinstance(error.__cause__, OSError) else changed, error)
        except OSError as error:
            return _FolderContent(None, UserError(_reason(error)))
        except Exception:
            log.exception("reading %s failed", path)
            return _FolderContent(changed, UserError("it cannot be read; the program's log says more"))


def _last_change(path: Path) -> tuple[int, ...]:
    """Times at which the manifest and the folder of measurements changed, in nanoseconds.

    Raises:
        OSError: The folder is gone, or may not be read.
    """
    measurements = path / MEASUREMENTS
    places = (path / MANIFEST, *([measurements] if measurements.exists() else []))
    return tuple(place.stat().st_mtime_ns for place in places)


def _reason(error: OSError) -> str:
    return f"it cannot be read: {error.strerror}"
