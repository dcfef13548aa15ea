"""What `explain_many` returns: explanations of many images, made in batches while they are asked for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from protoexplain.api.explained import ImageExplanation, explanation_frame
from protoexplain.api.images import ImageLike, as_file
from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.network_input import NetworkInput, read_input
from protoexplain.progress import Watcher

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class RefusedImage:
    """An image that could not be read.

    Args:
        name: Of the image.
        error: What is wrong with it, where, and what to do.
    """

    name: str
    error: UserError


class ImageExplanations(Iterator[ImageExplanation]):
    """Explanations of many images, in their order; only one batch is in memory at a time.

    It can be gone through once: ``next`` and ``for`` give one explanation after the other, `to_frame` all that are
    left.  Images that cannot be read are left out; `refused` names them, and a watcher, or else a warning, tells.

    Args:
        explainer: The model.
        images: To explain, or name -> image; a file is called as it is, others by their number from 0.
        rows: Prototypes at most, for each.
        batch_size: Images in one forward pass.
        watcher: Is shown the progress in images.

    Raises:
        UserError: The size of the batch is below 1, or there is one image instead of many.

    Example:
        >>> import protoexplain as px
        >>> explanations = px.explain_many("checkpoints/planted-protopnet", ["missing.jpg", "bird.jpg"], device="cpu")
        >>> isinstance(explanations, px.ImageExplanations)
        True
        >>> [explanation.image for explanation in explanations]
        ['bird.jpg']
        >>> [image.name for image in explanations.refused]
        ['missing.jpg']
    """

    def __init__(
        self,
        explainer: Explainer,
        images: Iterable[ImageLike] | Mapping[str, ImageLike],
        *,
        rows: int = 5,
        batch_size: int = 32,
        watcher: Watcher | None = None,
    ) -> None:
        if batch_size < 1:
            raise UserError(f"{batch_size} images cannot be a batch", "batch_size", "give 1 or more")
        if isinstance(images, str | Path):
            raise UserError("one image is not many", str(images), "give a list of images")
        self._explainer, self._rows, self._batch_size, self._watcher = explainer, rows, batch_size, watcher
        self._refused: list[RefusedImage] = []
        self._total = len(images) if isinstance(images, Sized) else None
        named = (
            images.items() if isinstance(images, Mapping) else ((_name(*pair), pair[1]) for pair in enumerate(images))
        )
        self._explanations = self._explained(named)

    @property
    def refused(self) -> tuple[RefusedImage, ...]:
        """The images that could not be read, of those that were gone through."""
        return tuple(self._refused)

    def __next__(self) -> ImageExplanation:
        return next(self._explanations)

    def to_frame(self) -> pandas.DataFrame:
        """All rows of the images that are left, in one table with the columns of `ImageExplanation.to_frame`."""
        return explanation_frame(self)

    def _explained(self, images: Iterable[tuple[str, ImageLike]]) -> Iterator[ImageExplanation]:
        inputs, done = self._readable(images), 0
        while batch := list(islice(inputs, self._batch_size)):
            for forward in self._explainer.forward_batch(batch):
                explained = self._explainer.explain(forward, top_classes=1, rows=self._rows)
                done += 1
                self._tell(done + len(self._refused))
                yield ImageExplanation(self._explainer, explained)
        if self._watcher:
            self._watcher.progress("explaining", done + len(self._refused), done + len(self._refused))

    def _readable(self, images: Iterable[tuple[str, ImageLike]]) -> Iterator[NetworkInput]:
        size = self._explainer.checkpoint.config.data.image_size
        for name, image in images:
            try:
                read = read_input(as_file(image), size, name=name)
            except UserError as error:
                self._refuse(RefusedImage(name, error))
                continue
            yield read

    def _tell(self, done: int) -> None:
        """The progress before the end; how many images an iterator will give is not known."""
        total = done + 1 if self._total is None else self._total
        if self._watcher and done < total:
            self._watcher.progress("explaining", done, total)

    def _refuse(self, image: RefusedImage) -> None:
        self._refused.append(image)
        text = f"left out: {image.name}: {image.error.what}"
        if self._watcher:
            self._watcher.line(text)
        else:
            warnings.warn(text, stacklevel=2)


def _name(number: int, image: ImageLike) -> str:
    return Path(image).name if isinstance(image, str | Path) else f"image {number}"
