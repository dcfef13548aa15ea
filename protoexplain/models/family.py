"""What a family of models is: its settings, its schedule, and how its models are built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.stage import Stage

if TYPE_CHECKING:
    from torch import nn

    from protoexplain.models.base import PrototypeModel


class FamilyConfig(BaseModel):
    """Settings that every family has; families add their own fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: BackboneConfig = BackboneConfig()
    start: Literal["random", "parts"] = "random"
    """Prototypes start as random numbers (published), or from the parts of the object that tell classes apart: as the
    mean patches of a class, or, where all classes share them, as kinds of parts; reasoning then as what images show."""
    object_gate: bool = False
    """Prototypes see only cells on the object, told by a linear classifier of their features that is fitted when the
    backbone has been fine-tuned; masks or boxes tell it where the object is, else the middle of the picture."""

    @property
    def certified(self) -> bool:
        """Whether the model knows how far a picture may move before the answer can change."""
        return False


def imported_when_built(model: str) -> Callable[..., PrototypeModel]:
    """What makes models of a class, given as `module:class`, which is imported only then.

    Thus the settings beside it are read without torch.
    """

    def make(*arguments: object) -> PrototypeModel:
        made: PrototypeModel = resolve_name(model)(*arguments)
        return made

    return make


@dataclass(frozen=True)
class Family:
    """A registry entry.

    Args:
        title: Name for people.
        paper: Authors, year, title.
        config: Class of its model configuration.
        schedule: Class of its schedule's configuration.
        model: (config, classes, backbone, channels of its features) -> model.
        stages: Schedule -> the list of stages.
        tiny: Configuration values of a small model for the contract tests.
    """

    title: str
    paper: str
    config: type[FamilyConfig]
    schedule: type[BaseModel]
    model: Callable[..., PrototypeModel]
    stages: Callable[..., list[Stage]]
    tiny: Mapping[str, object]

    def build(
        self,
        config: Any,  # noqa: ANN401 - an instance of `self.config`, which a run's configuration knows as a base model
        classes: int,
        backbone: nn.Module | None = None,
        load_weights: bool = True,
    ) -> PrototypeModel:
        """A fresh model.

        Args:
            config: Of this family.
            classes: Number of classes.
            backbone: Has `channels`; created from the configuration if None.
            load_weights: False leaves a created backbone at random weights, for a checkpoint about to be loaded.
        """
        if backbone is None:
            from protoexplain.models.backbones import Backbone

            backbone = Backbone(config.backbone, load_weights)
        channels = int(backbone.channels)  # type: ignore[arg-type]
        model = self.model(config, classes, backbone, channels)
        if not config.object_gate:
            return model
        from protoexplain.models.object_gate import gated

        return gated(model, channels)
