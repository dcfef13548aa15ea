"""Settings of backbones; what they mean for networks is in `backbones`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class BackboneConfig(BaseModel):
    """Which network, where it is cut, and where its weights come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "tf_efficientnet_lite0"
    """A timm model name."""
    stride: int = Field(16, ge=1)
    """Input pixels per map cell; the deepest features of this stride are used."""
    weights: str = "auto"
    """`auto` (an installed package, else the hub), `hub`, `none`, or the path of a state dict."""
    frozen_stride: int = Field(0, ge=0)
    """Layers up to the features of this stride are never trained; 0 trains all."""
    lower_stride: int = Field(0, ge=0)
    """Layers from there up to the features of this stride are the group `lower`, which few schedules train."""
    lower_until: str = ""
    """The last module of that group by its name, such as `layer4.1`, where it ends within a stride."""
    pyramid_stride: int = Field(0, ge=0)
    """The deepest features of each stride from this finer one on are joined, upsampled to it; 0 for none."""
    unstrided_stages: int = Field(0, ge=0)
    """Strides of the last n stages are set to 1 for finer maps (CBC and PIP-Net: 2)."""
