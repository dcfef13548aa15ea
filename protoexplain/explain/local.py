"""Why a model said what it said about one image, as plain data that can be added up again.

`explain` returns, for each shown class, the prototypes that speak for and against it.  For every class the evidence
of the shown rows, plus what all other prototypes add, plus the bias, equals the class score; `Explanation.check` does
the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.data.geometry import Geometry
from protoexplain.explain.boxes import high_activation_boxes, upsample
from protoexplain.models.base import PrototypeModel
from protoexplain.models.heads import Evidence

SCHEMA_VERSION = 1
PERCENTILE = 95.0


@dataclass(frozen=True)
class Match:
    """One prototype and its best place in the image.

    Args:
        prototype: Number of the prototype.
        prototype_label: Its class, -1 where all classes share it.
        similarity: Activation at the best place, in the unit of the family.
        presence: What it adds to the class score because it was found.
        absence: What it adds because it is missing (CBC).
        cell: (row, column) of the best place in the map.
        box: Where the upsampled map is in its top 5 %, (x0, y0, x1, y1) in pixels of the given image.
    """

    prototype: int
    prototype_label: int
    similarity: float
    presence: float
    absence: float
    cell: tuple[int, int]
    box: tuple[float, float, float, float]

    @property
    def evidence(self) -> float:
        return self.presence + self.absence


@dataclass(frozen=True)
class ClassExplanation:
    """Evidence for one class.

    Args:
        label: Class index.
        name: Class name.
        score: Class score (logit; for CBC a probability).
        probability: In [0, 1].
        found: Prototypes by the size of what their presence adds, largest first.
        missing: Prototypes by what their absence adds, largest first; empty but for CBC.
        remainder: What all prototypes add beside the shown numbers.
        bias: What no prototype is responsible for.
    """

    label: int
    name: str
    score: float
    probability: float
    found: tuple[Match, ...]
    missing: tuple[Match, ...]
    remainder: float
    bias: float

    def total(self) -> float:
        """The class score again, from the parts."""
        shown = sum(match.presence for match in self.found) + sum(match.absence for match in self.missing)
        return shown + self.remainder + self.bias


@dataclass(frozen=True)
class Prediction:
    """One class and its probability."""

    label: int
    name: str
    score: float
    probability: float


@dataclass(frozen=True)
class Explanation:
    """Everything that is shown about one image; no tensors, no pictures.

    Args:
        image: Name of the image.
        geometry: Which part of it the model saw.
        predictions: Classes by score, best first.
        classes: The explained classes.
        notices: What was done to the image when it was read.
        maps: Prototype -> activation map [H,W]; not part of the JSON.
    """

    image: str
    geometry: Geometry
    predictions: tuple[Prediction, ...]
    classes: tuple[ClassExplanation, ...]
    notices: tuple[str, ...] = ()
    maps: dict[int, NDArray[np.float32]] = field(default_factory=dict, repr=False, compare=False)

    def check(self) -> float:
        """Largest difference between a class score and the sum of its parts."""
        return max((abs(c.total() - c.score) for c in self.classes), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        content = asdict(self)
        del content["maps"]
        return {"schema": SCHEMA_VERSION, **content, "additive_error": self.check()}

    def heat(self, prototype: int, width: int, height: int) -> NDArray[np.float32]:
        """The map of a prototype over the seen region, upsampled to [height, width]."""
        return upsample(torch.from_numpy(self.maps[prototype]), height, width).numpy()


@torch.no_grad()
def explain(
    model: PrototypeModel,
    picture: Tensor,
    geometry: Geometry,
    class_names: Sequence[str],
    *,
    image: str = "",
    labels: Sequence[int] | None = None,
    top_classes: int = 3,
    rows: int = 10,
    notices: Sequence[str] = (),
) -> Explanation:
    """Explain the classes of one image.

    Args:
        model: In eval mode.
        picture: [3,S,S] in [0, 1].
        geometry: Where the picture lies in the given image.
        class_names: By label.
        image: Name of the image.
        labels: Classes to explain; the `top_classes` best ones by default.
        top_classes: How many, where `labels` is None.
        rows: Prototypes per list.
        notices: Passed on.
    """
    device = next(model.parameters()).device
    features = model.backbone(picture[None].to(device))
    maps = model.activation_maps(features)[0]
    activations = model.activations(features)
    output = model.from_activations(activations)
    scores, probabilities = output.logits[0], model.probabilities(output.logits)[0]
    ranked = scores.argsort(descending=True).tolist()
    shown = list(labels) if labels is not None else ranked[:top_classes]
    evidence = model.evidence(activations, torch.tensor(shown, device=device))
    lists = [_chosen(evidence, k, rows) for k in range(len(shown))]
    wanted = sorted({p for found, missing in lists for p in (*found, *missing)})
    boxes = _boxes(maps, wanted, geometry)
    cells = maps.flatten(1).argmax(1).tolist()

    def match(prototype: int, k: int) -> Match:
        return Match(
            prototype=prototype,
            prototype_label=int(model.prototype_class[prototype]),
            similarity=float(activations[0, prototype]),
            presence=float(evidence.presence[0, prototype, k]),
            absence=float(evidence.absence[0, prototype, k]),
            cell=divmod(cells[prototype], maps.shape[2]),
            box=boxes[prototype],
        )

    classes = []
    for k, (label, (found, missing)) in enumerate(zip(shown, lists, strict=True)):
        present = tuple(match(prototype, k) for prototype in found)
        absent = tuple(match(prototype, k) for prototype in missing)
        told = evidence.presence[0, found, k].double().sum() + evidence.absence[0, missing, k].double().sum()
        everything = (evidence.presence[0, :, k].double() + evidence.absence[0, :, k].double()).sum()
        classes.append(
            ClassExplanation(
                label,
                class_names[label],
                float(scores[label]),
                float(probabilities[label]),
                present,
                absent,
                float(everything - told),
                float(evidence.bias[k]),
            )
        )
    predictions = tuple(Prediction(i, class_names[i], float(scores[i]), float(probabilities[i])) for i in ranked)
    return Explanation(
        image,
        geometry,
        predictions,
        tuple(classes),
        tuple(notices),
        {prototype: maps[prototype].float().cpu().numpy() for prototype in wanted},
    )


def _chosen(evidence: Evidence, k: int, rows: int) -> tuple[list[int], list[int]]:
    """Prototypes with the largest effect by presence, of either sign, and by absence."""
    presence, absence = evidence.presence[0, :, k], evidence.absence[0, :, k]
    found = presence.abs().argsort(descending=True)[:rows].tolist()
    missing = absence.argsort(descending=True)[:rows].tolist() if bool((absence != 0).any()) else []
    return found, missing


def _boxes(maps: Tensor, wanted: Sequence[int], geometry: Geometry) -> dict[int, tuple[float, float, float, float]]:
    size = geometry.input_size
    boxes = high_activation_boxes(upsample(maps[list(wanted)].cpu(), size, size), PERCENTILE)
    source = [geometry.box_to_source(box) for box in boxes]
    return {p: (box.x0, box.y0, box.x1, box.y1) for p, box in zip(wanted, source, strict=True)}
