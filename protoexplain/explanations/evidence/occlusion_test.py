"""Does the box show what the prototype reacts to?  Blank it out and see, against random boxes of the same size.

A box is filled with the mean colour of the picture that the model saw.  The similarity is then the best of the whole
blanked picture: if the prototype is found just as well elsewhere, the box was not what it needed.  A filled rectangle
is itself an unusual thing to see, which is why the fall is compared with that of random boxes and never read alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from protoexplain.checkpoint.prototypes import Edges
from protoexplain.data.geometry import Box
from protoexplain.explanations.evidence.match import Match
from protoexplain.explanations.forward_pass import ForwardPass
from protoexplain.models.precision import exact
from protoexplain.progress import Progress

MOST = 0.5
"""A box that covers more than this share of the picture says little about where."""
RANDOM_BOXES = 9
"""With so many, a box that beats them all does so by chance once in ten times; each costs a pass of the model."""
_PICTURES_AT_ONCE = 8
_Corners = tuple[int, int, int, int]


@dataclass(frozen=True)
class BoxOcclusionTest:
    """What blanking a box does to the similarity of its prototype.

    Args:
        prototype: Its number.
        box: In pixels of the given image.
        covers: Share of the seen picture that the box covers, in [0, 1].
        similarity: Of the whole picture.
        fall: By how much the similarity falls when the box is blanked; negative where it rises.
        random_falls: The same for random boxes of that size.
    """

    prototype: int
    box: Edges
    covers: float
    similarity: float
    fall: float
    random_falls: tuple[float, ...]

    @property
    def random_mean(self) -> float:
        """Mean fall of the random boxes."""
        return mean(self.random_falls)

    @property
    def rank(self) -> float:
        """Share of random boxes with a smaller fall, in [0, 1]; equal ones count half."""
        scores = [(self.fall > other) + 0.5 * (self.fall == other) for other in self.random_falls]
        return sum(scores) / len(scores)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the heat map has to know; empty where all is well."""
        found = []
        if self.covers > MOST:
            found.append(f"the box covers {self.covers:.0%} of the picture")
        if self.fall <= 0:
            found.append("blanking the box does not lower the similarity")
        elif self.rank <= 0.5:
            found.append("blanking the box does no more than blanking random boxes of its size")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        derived = {"random_mean": self.random_mean, "rank": self.rank, "warnings": self.warnings}
        return {**asdict(self), **derived}


@torch.no_grad()
def occlusion_test(
    forward_pass: ForwardPass,
    matches: Sequence[Match],
    random_boxes: int = RANDOM_BOXES,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> dict[int, BoxOcclusionTest]:
    """Blank out the box of each match, and random boxes, in batches that all prototypes share.

    Args:
        forward_pass: The picture.
        matches: With their boxes; a prototype that occurs twice is tried once.
        random_boxes: For each box, at least one.
        seed: Of the random boxes.
        progress: Told (done, total) in blanked pictures; the tests end with what it raises.

    Returns:
        By prototype.

    Raises:
        ValueError: No random boxes.
    """
    if random_boxes < 1:
        raise ValueError("a box can only be judged beside random ones")
    generator, size = torch.Generator().manual_seed(seed), forward_pass.geometry.input_size
    asked = {match.prototype: match for match in matches}
    boxes = {prototype: _corners(forward_pass, match.box) for prototype, match in asked.items()}
    others = {
        prototype: [_at_random(corners, size, generator) for _ in range(random_boxes)]
        for prototype, corners in boxes.items()
    }
    every = list(dict.fromkeys([*boxes.values(), *(box for some in others.values() for box in some)]))
    blanked = dict(zip(every, _similarities(forward_pass, every, progress), strict=True))
    found = {}
    for prototype, match in asked.items():
        x0, y0, x1, y1 = boxes[prototype]
        before = float(forward_pass.activations[prototype])
        found[prototype] = BoxOcclusionTest(
            prototype=prototype,
            box=match.box,
            covers=(x1 - x0) * (y1 - y0) / size**2,
            similarity=before,
            fall=before - float(blanked[boxes[prototype]][prototype]),
            random_falls=tuple(before - float(blanked[box][prototype]) for box in others[prototype]),
        )
    return found


def _corners(forward_pass: ForwardPass, box: Edges) -> _Corners:
    """Whole input pixels that hold a box."""
    size = forward_pass.geometry.input_size
    inside = forward_pass.geometry.box_to_input(Box(*box))
    x0, y0 = (min(max(round(edge), 0), size - 1) for edge in (inside.x0, inside.y0))
    x1, y1 = (min(max(round(edge), 1), size) for edge in (inside.x1, inside.y1))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def _at_random(box: _Corners, size: int, generator: torch.Generator) -> _Corners:
    """A box of the same size anywhere in the picture."""
    x0, y0, x1, y1 = box
    x = int(torch.randint(size - (x1 - x0) + 1, (), generator=generator))
    y = int(torch.randint(size - (y1 - y0) + 1, (), generator=generator))
    return x, y, x + x1 - x0, y + y1 - y0


def _similarities(forward_pass: ForwardPass, boxes: Sequence[_Corners], progress: Progress) -> list[Tensor]:
    """Activations float64 [P] of the picture with each box blanked, on the CPU."""
    colour = forward_pass.picture.mean((1, 2), keepdim=True)
    found: list[Tensor] = []
    for start in range(0, len(boxes), _PICTURES_AT_ONCE):
        some = boxes[start : start + _PICTURES_AT_ONCE]
        pictures = forward_pass.picture.repeat(len(some), 1, 1, 1)
        for picture, (x0, y0, x1, y1) in zip(pictures, some, strict=True):
            picture[:, y0:y1, x0:x1] = colour
        found += exact(forward_pass.model.activations(forward_pass.model.backbone(pictures)))
        progress(len(found), len(boxes))
    return found
