"""Stages that fine-tune a backbone with another classifier on top, before a family's own schedule."""

from __future__ import annotations

from protoexplain.models.stage import Decay, Stage


def fine_tuning(epochs: int, lr: float, lr_head: float, min_steps: int, min_images: int) -> Stage:
    """All of a plain classifier, Adam, learning rates falling to nothing by a cosine."""
    return Stage(
        name="backbone",
        epochs=epochs,
        lr={"backbone": lr, "head": lr_head},
        losses={"cross_entropy": 1.0},
        min_steps=min_steps,
        min_images=min_images,
        returns=True,
        decay=dict.fromkeys(("backbone", "head"), Decay(kind="cosine", total=max(1, epochs), gamma=0.01)),
    )


def part_fine_tuning(epochs: int, lr: float, lr_head: float, weight: float, min_steps: int, min_images: int) -> Stage:
    """Backbone, embedding and prototypes, Adam, learning rates falling to nothing by a cosine from step to step."""
    rates = {"backbone": lr, "addon": lr_head, "prototypes": lr_head}
    decay = Decay(kind="cosine", total=max(1, epochs), gamma=0.01, by_step=True)
    return Stage(
        name="backbone",
        epochs=epochs,
        lr=rates,
        losses={"cross_entropy": 1.0, "parts": weight},
        min_steps=min_steps,
        min_images=min_images,
        returns=True,
        decay=dict.fromkeys(rates, decay),
    )
