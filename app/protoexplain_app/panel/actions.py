"""Where a link leads, and what a checkpoint says about itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.errors import UserError
from protoexplain.models.registry import get_family
from protoexplain_app.input_image import Frame
from protoexplain_app.library import Choice, Library
from protoexplain_app.links import Address
from protoexplain_app.models import BrokenCheckpoint, ListedCheckpoint


@dataclass(frozen=True)
class Facts:
    """A checkpoint in a few lines.

    Args:
        family: Its title.
        paper: Authors, year, title.
        data: Name of its data set.
        classes: How many.
        prototypes: How many.
        train_images: It learned from.
        test_images: It was tested on.
        accuracy: Share of the test images it named rightly, None where that was not measured.
        cropped: Whether it learned from pictures cut to the object.
        notices: What is to be known about the test pictures, one sentence each.
    """

    family: str
    paper: str
    data: str
    classes: int
    prototypes: int
    train_images: int
    test_images: int
    accuracy: float | None
    cropped: bool
    notices: tuple[str, ...]


def facts(checkpoint: Checkpoint, notices: tuple[str, ...] = ()) -> Facts:
    """What a checkpoint says about itself, with the notices of the data set that it is shown with."""
    family, accuracy = get_family(checkpoint.config.family), checkpoint.metrics.get("test_accuracy")
    return Facts(
        family=family.title,
        paper=family.paper,
        data=checkpoint.data.name,
        classes=len(checkpoint.classes),
        prototypes=len(checkpoint.prototypes),
        train_images=checkpoint.data.train_images,
        test_images=checkpoint.data.test_images,
        accuracy=accuracy if isinstance(accuracy, float) else None,
        cropped=checkpoint.data.crop == "box",
        notices=notices,
    )


@dataclass(frozen=True)
class LinkTarget:
    """Where a link led.

    Args:
        choice: What is shown now.
        listed: The checkpoints that can be chosen.
        broken: Those that cannot.
        notices: What the link names and is not here, one sentence each.
    """

    choice: Choice
    listed: tuple[ListedCheckpoint, ...]
    broken: tuple[BrokenCheckpoint, ...]
    notices: tuple[str, ...] = ()


def follow_link(
    library: Library, address: Address, before: Choice | None, tabs: Sequence[str], here: str = ""
) -> LinkTarget:
    """Follow a link; what it does not say stays as it was, and what it says is not trusted.

    Args:
        library: All that can be chosen.
        address: What the link says.
        before: What was shown, None when the page opens.
        tabs: Names of the tabs.
        here: The open tab.
    """
    before, notices = before or Choice(), []
    listed, broken = library.store.scan()
    names = [entry.name for entry in listed]
    tab = next((name for name in (address.tab, here) if name in tabs), tabs[0])
    asked, visit = replace(address, tab=tab), before.visit + 1
    if not names:
        return LinkTarget(Choice(asked=asked, visit=visit), listed, broken)
    favourite = default_checkpoint(listed).name
    model = next((name for name in (address.model, before.model) if name in names), favourite)
    if address.model not in ("", model):
        notices.append(f"The link names the model '{address.model}', which is not here; this is another one.")
    keys = [image.key for image in library.examples.of(library.store.listed(model).checkpoint)]
    upload = "" if address.image else before.upload
    image = next((key for key in (address.image, before.image, *keys[:1]) if key in keys), "")
    if model == favourite and not (before.image or address.image or upload):
        image = library.opening_image(model)
    if address.image not in ("", image):
        notices.append(f"The link names the picture '{address.image}', which is not here; this is another one.")
    frame = before.frame if upload else None
    return LinkTarget(Choice(model, image, upload, frame, asked, visit), listed, broken, tuple(notices))


def default_checkpoint(listed: Sequence[ListedCheckpoint]) -> ListedCheckpoint:
    """What a first visit shows: a model whose prototypes are parts of pictures, the most accurate of them."""
    return max(listed, key=lambda entry: (all(r.projected for r in entry.checkpoint.prototypes), _accuracy(entry)))


def _accuracy(entry: ListedCheckpoint) -> float:
    return facts(entry.checkpoint).accuracy or 0.0


def frame_of(edges: Mapping[str, object]) -> Frame | None:
    """The frame that a browser tells; None for the whole picture.

    Raises:
        UserError: It is no part of a picture.
    """
    values = [edges.get(name) for name in ("left", "top", "right", "bottom")]
    left, top, right, bottom = (float(v) if isinstance(v, int | float) else math.nan for v in values)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UserError("this is no part of the picture", "", "draw the frame again")
    return None if (left, top, right, bottom) == (0, 0, 1, 1) else (left, top, right, bottom)


def listing(target: LinkTarget) -> tuple[tuple[str, str], ...]:
    """What the list of checkpoints says; another one means that the folder has changed."""
    good = ((entry.name, entry.checkpoint.sha256) for entry in target.listed)
    return (*good, *((entry.name, entry.reason) for entry in target.broken))
