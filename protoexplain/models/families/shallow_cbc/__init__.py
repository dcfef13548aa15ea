"""Classification-By-Components in input space (Saralajew et al. 2019 and 2025): settings and schedule."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeFloat, model_validator

from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.family import Family, FamilyConfig, imported_when_built
from protoexplain.models.stage import Decay, Stage

_ENCODED_SIDE = 16
"""Least side of the pictures that the encoder makes features of."""


class ShallowCBCConfig(FamilyConfig):
    """Shape of a shallow CBC; the defaults are those published for MNIST."""

    backbone: BackboneConfig = BackboneConfig(name="pixels", stride=1, weights="none")
    """Pictures are compared as they are, without a network."""
    image_size: int = Field(28, ge=4, le=2048)
    """Side of the pictures and of the components; the same number as `data.image_size`."""
    picture_channels: Literal[1, 3] = 3
    """1 compares grey pictures, the mean of the three channels, as published for MNIST."""
    components: int = Field(20, ge=1)
    concepts_per_class: int = Field(2, ge=1)
    """Several ways of reasoning for each class, which has the score of the best."""
    reasoning: Annotated[Literal["2024", "2019", "positive"], BeforeValidator(str)] = "2024"
    """`2019` may also ignore components (indefinite reasoning); `positive` knows no negative reasoning and is a radial
    basis function (RBF) classifier."""
    detection: Literal["euclidean", "squared", "cosine"] = "euclidean"
    """A component is detected with the probability exp(-distance / sigma), of the Euclidean distance or its square; or
    with the cosine, cut at zero (2019), which has no certificate."""
    sigma: float = Field(58.0, gt=0)
    """Width of the kernel of each component, at the start."""
    subspace_dimension: int = Field(0, ge=0)
    """Directions in which each component may be moved at no distance: distances are tangent distances, to the affine
    subspace of a component (published: 12); 0 compares with the component itself."""
    encoder: bool = False
    """Pictures and components go through the same small network before they are compared (Siamese, 2019), of which no
    certificate is known."""
    margin: float = Field(0.3, gt=0)
    """Of class scores, where the margin loss ends."""
    robust_margin: float = Field(1.58, gt=0)
    """Certified radius at which the robust loss ends."""

    @model_validator(mode="after")
    def _without_network(self) -> Self:
        if self.backbone.name != "pixels":
            raise ValueError(f"components are pictures, and backbone {self.backbone.name} gives none: use 'pixels'")
        return self

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        numbers = self.picture_channels * self.image_size**2
        if self.encoder and self.image_size < _ENCODED_SIDE:
            raise ValueError(f"the encoder needs image_size {_ENCODED_SIDE} or more, not {self.image_size}")
        if self.subspace_dimension and self.encoder:
            raise ValueError("subspaces are of pictures, and the encoder compares features: use one of the two")
        if self.subspace_dimension and self.detection == "cosine":
            raise ValueError("the cosine knows no subspaces: use detection 'euclidean' or 'squared' with them")
        if self.subspace_dimension >= numbers:
            what = f"subspaces of dimension {self.subspace_dimension} hold all pictures of {numbers} numbers"
            raise ValueError(f"{what}: use a smaller subspace_dimension")
        return self

    @property
    def kernels(self) -> bool:
        """Whether components are detected by kernels of distances, which have widths."""
        return self.detection != "cosine"

    @property
    def certified(self) -> bool:
        return self.kernels and not self.encoder


class ShallowCBCLosses(BaseModel):
    """Weights of the loss terms; a term of weight 0 is not computed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: float = Field(1.0, ge=0)
    robust: float = Field(0.0, ge=0)
    """How much certified radius images lack."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.margin + self.robust:
            raise ValueError("no loss has a weight above 0")
        return self


class ShallowCBCSchedule(BaseModel):
    """Components, reasoning and the encoder together, from scratch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(40, ge=1)
    lr: NonNegativeFloat = 5e-3
    decay: Decay = Decay()
    losses: ShallowCBCLosses = ShallowCBCLosses()


def stages(schedule: ShallowCBCSchedule) -> list[Stage]:
    trained = ("addon", "prototypes", "head")
    return [
        Stage(
            name="joint",
            epochs=schedule.epochs,
            lr=dict.fromkeys(trained, schedule.lr),
            losses={name: weight for name, weight in schedule.losses.model_dump().items() if weight},
            decay=dict.fromkeys(trained, schedule.decay),
        )
    ]


FAMILY = Family(
    title="Shallow Classification-By-Components",
    paper="Saralajew et al. 2025, A Robust Prototype-Based Network with Interpretable RBF Classifier Foundations",
    config=ShallowCBCConfig,
    schedule=ShallowCBCSchedule,
    model=imported_when_built(f"{__name__}.network:ShallowCBC"),
    stages=stages,
    tiny={
        "backbone": {"name": "pixels", "stride": 1, "weights": "none"},
        "image_size": 64,
        "components": 8,
    },
)
