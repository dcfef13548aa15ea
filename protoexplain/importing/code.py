"""What the importer knows of one official code: how its files are recognised, and what their tensors are called here.

P prototypes of D channels, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.importing.foreign import ForeignModel


class Tensors:
    """The tensors of a foreign model, each of which is taken once; what is left over was not understood.

    Args:
        model: The model.
        code: Whose names are expected, for errors.
    """

    def __init__(self, model: ForeignModel, code: str) -> None:
        self._left, self._model, self._code = dict(model.tensors), model, code

    def take(self, name: str, *shape: int | None) -> Tensor:
        """The tensor of that name and shape; None stands for any length.

        Raises:
            UserError: It is missing, empty or of another shape.
        """
        tensor = self._left.pop(name, None)
        if tensor is None:
            raise self.refusal(f"the tensor {name} is missing")
        fits = len(shape) == tensor.dim() and all(a in (None, b) for a, b in zip(shape, tensor.shape, strict=True))
        if not fits or not tensor.is_floating_point() or tensor.numel() == 0:
            wanted = [("any" if length is None else length) for length in shape]
            raise self.refusal(f"the tensor {name} is {list(tensor.shape)}, not {wanted}")
        return tensor

    def under(self, prefix: str) -> dict[str, Tensor]:
        """All tensors whose names begin so, by the rest of their names."""
        names = [name for name in self._left if name.startswith(prefix)]
        return {name.removeprefix(prefix): self._left.pop(name) for name in names}

    def skip(self, *names: str) -> None:
        """Tensors of no use, where they are there."""
        for name in names:
            self._left.pop(name, None)

    def end(self) -> None:
        """All that matters was taken.

        Raises:
            UserError: Tensors are left over.
        """
        if self._left:
            first = ", ".join(sorted(self._left)[:3])
            raise self.refusal(f"{len(self._left)} tensors are not understood, such as {first}")

    def refusal(self, what: str) -> UserError:
        """An error about this file."""
        fix = "give a file of the official code as it is, or its family by --family"
        return UserError(f"not a model of {self._code}: {what}", self._model.where, fix)


@dataclass(frozen=True)
class Converted:
    """A foreign model in the terms of a family.

    Args:
        family: Its name.
        model: Settings of the family, without the backbone.
        weights: All tensors of the model but those of its backbone, by their names here.
        backbone: Tensors of the backbone, as torchvision or timm name them.
        classes: C.
        backbone_settings: Of the backbone, besides its name and stride.
        data: Settings of the images.
        kept: int, the number of each prototype in a fresh model of these settings; None where none is missing.
        assumed: What the file does not tell, one sentence each.
    """

    family: str
    model: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    backbone: Mapping[str, Tensor]
    classes: int
    backbone_settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    kept: tuple[int, ...] | None = None
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class OfficialCode:
    """A registry entry.

    Args:
        title: For people.
        recognises: Whether a model is of this code.
        convert: The model, and the number of classes where it is known otherwise -> in our terms.
    """

    title: str
    recognises: Callable[[ForeignModel], bool]
    convert: Callable[[ForeignModel, int | None], Converted]


def input_settings(model: ForeignModel) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Settings of the images, and what is assumed of them."""
    side = model.setting("img_size", int, None)
    if side is not None:
        return {"image_size": side}, ()
    return {"image_size": 224}, ("images of 224 pixels, as published (--set data.image_size=...)",)


def activation_settings(model: ForeignModel, assumed: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Settings of what becomes of distances, and `assumed` with what is assumed of them."""
    activation = model.setting("prototype_activation_function", str, None)
    if activation is None:
        activation = "log"
        assumed = (*assumed, "the logarithm of distances, as published (--set model.activation=linear)")
    return {"activation": activation, "epsilon": model.setting("epsilon", float, 1e-4)}, assumed
