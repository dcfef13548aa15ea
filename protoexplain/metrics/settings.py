"""How to measure: what several metrics share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

import protoexplain

PUBLISHED_SIZE, PUBLISHED_HALF_WINDOW = 224, 36
RESNET_DEVIATION = 0.225
"""Standard deviation, of the range of pixels, by which ResNets normalise."""


class AttackSettings(BaseModel):
    """Of the attack outside the boxes of prototypes; the defaults are those that are published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["pgd", "uniform"] = "pgd"
    """Projected gradient descent; or its random start alone, which is all that the published program does."""
    target: Literal["top", "own"] = "top"
    """The prototype that fires most, of any class; or all of the image's class."""
    limit: float = Field(0.4, gt=0)
    """Largest change of a value of the normalised input."""
    step: float = Field(0.01, gt=0)
    """Change of a value in one step."""
    steps: int = Field(40, ge=1)
    """Of the gradient descent."""
    margin: int = Field(10, ge=0)
    """Pixels around boxes that stay as they are, at 224 x 224; in proportion for other sizes."""


class MeasureSettings(BaseModel):
    """What several metrics share; the defaults are the published ones where there are any."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0)
    """Of all random numbers; each image has its own, so batches and processes change nothing."""
    images_per_class: int = Field(0, ge=0)
    """Only so many test images of each class; 0 takes all."""
    half_window: int | None = Field(None, ge=0)
    """Pixels around a peak in which a part counts as hit; by default 36 of 224 (Huang et al. 2023), in proportion."""
    noise: float = Field(0.2, gt=0)
    """Standard deviation of the noise of the stability score, on normalised inputs."""
    noise_limit: float = Field(0.25, gt=0)
    """The noise is clipped to this."""
    noise_levels: tuple[float, ...] = ()
    """Further standard deviations for the curve of the stability score; each costs one pass."""
    pixel_noise: float = Field(0.2 * RESNET_DEVIATION, gt=0)
    """Standard deviation of noise in pixels, of their range: by default that of the published noise for a ResNet."""
    pixel_noise_limit: float = Field(0.25 * RESNET_DEVIATION, gt=0)
    """The noise in pixels is clipped to this."""
    draws: int = Field(3, ge=1)
    """Passes with fresh noise of either kind; the published score is a single one."""
    training_images: int = Field(0, ge=0)
    """Training images of each class that a classifier of cells is fitted to; 0 takes all."""
    steps: int = Field(28, ge=1)
    """Of deletion and insertion."""
    shared_per_class: int = Field(10, ge=1)
    """Where all classes share the prototypes, a class is measured by so many: those of its largest weights."""
    part_rules: tuple[str, ...] = Field(("maps", "boxes"), min_length=1)
    """Rules by which explanations name parts, where images without parts are at hand; the first gives the scores."""
    box_rule: str = "peak"
    """How the boxes of prototypes are drawn that names of parts and attacks start from."""
    attack: AttackSettings = AttackSettings()
    """Of the misalignment scores."""
    published_parts: bool = False
    """Name parts as the published FunnyBirds program does, which finds no sufficient parts for the last class and names
    what is not in the image where an attribution is negative as a whole."""
    resamples: int = Field(2000, ge=100)
    """Of the bootstrap."""
    batch_size: int = Field(32, ge=1)
    """Pictures in a forward pass; changes nothing but speed."""

    def window(self, size: int) -> int:
        """The half window in pixels for pictures of side `size`."""
        if self.half_window is not None:
            return self.half_window
        return round(PUBLISHED_HALF_WINDOW * size / PUBLISHED_SIZE)

    def recorded(self, images: str, count: int, size: int) -> dict[str, Any]:
        """JSON values that go with a result: how, on which and how many images, of which size, by which version."""
        return {
            "images": images[:16],
            "test_images": count,
            **self.model_dump(mode="json"),
            "half_window": self.window(size),
            "input_size": size,
            "version": protoexplain.__version__,
        }
