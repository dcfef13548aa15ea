"""One optimizer step, one epoch: what happens between a batch and the next.

The loop is the same for all families and for pictures, cached features and cached activations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from protoexplain.errors import UserError
from protoexplain.fabric import scales_gradients
from protoexplain.models.base import PrototypeModel, PrototypeOutput
from protoexplain.models.stage import GROUPS, Stage
from protoexplain.training.inputs import InputBatch, Kind

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_BatchNorm = nn.modules.batchnorm._BatchNorm


class TrainStep(nn.Module):
    """Loss terms of a batch as one forward call, so that multi-process training sees all of the graph."""

    def __init__(self, model: PrototypeModel, kind: Kind, names: frozenset[str]) -> None:
        super().__init__()
        self.model, self.kind, self.names = model, kind, names

    def forward(self, values: Tensor, labels: Tensor, active: str | None) -> tuple[dict[str, Tensor], Tensor]:
        """Loss terms, and the number of right predictions of the computed branches."""
        output = outputs(self.model, self.kind, values, active, self.names)
        right = (output.logits.detach().argmax(1) == labels).sum()
        self.model.observe(output, labels)
        return self.model.loss_terms(output, labels, self.names, active), right


def outputs(
    model: PrototypeModel, kind: Kind, values: Tensor, active: str | None = None, names: frozenset[str] = frozenset()
) -> PrototypeOutput:
    """Run what is left of the model after a cache, with all that the named loss terms need."""
    if kind == "activations":
        return model.from_activations(values, active)
    if kind == "features":
        return model.from_cached_features(values, names, active)
    if kind == "stem":
        return model.from_stem(values, names, active)
    return model.from_images(values, names, active)


def freeze(model: PrototypeModel, trained: Iterable[str]) -> frozenset[str]:
    """Let gradients flow into the named parameter groups only.

    Returns:
        The groups that exist in this model and are trained.

    Raises:
        UserError: A name that is no parameter group of any model.
    """
    groups = model.parameter_groups()
    unknown = set(trained) - set(GROUPS)
    if unknown:
        raise UserError(f"unknown parameter group {sorted(unknown)}", "stage.lr", f"use {', '.join(GROUPS)}")
    model.requires_grad_(False)
    chosen = frozenset(trained) & frozenset(groups)
    for name in chosen:
        for parameter in groups[name]:
            parameter.requires_grad_(True)
    return chosen


def set_training_mode(model: PrototypeModel, published_batch_norm: bool = False) -> None:
    """Training mode, but batch norm of layers that are not trained keeps its statistics.

    Otherwise frozen features would drift after projection, and prototypes would leave their patches.
    """
    model.train()
    if published_batch_norm:
        return
    for module in model.modules():
        if isinstance(module, _BatchNorm) and not any(p.requires_grad for p in module.parameters()):
            module.eval()


def make_optimizer(
    model: PrototypeModel, stage: Stage, trained: frozenset[str], fused: bool = True
) -> Optimizer | None:
    """Adam or AdamW with one parameter group per trained group, named in the key ``name``; None where none is trained.

    A fused one takes scaled gradients as they are, so that nothing can be done to them before; it is faster.
    """
    if not trained:
        return None
    groups = model.parameter_groups()
    rows = [
        {
            "params": groups[name],
            "lr": stage.lr[name],
            "weight_decay": stage.weight_decay.get(name, 0.0),
            "name": name,
        }
        for name in sorted(trained)
    ]
    kind = torch.optim.AdamW if stage.optimizer == "adamw" else torch.optim.Adam
    return kind(rows, eps=stage.epsilon, fused=fused)


def restore_moments(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Go on with the moments that a saved optimizer had for groups of the same names."""
    state = optimizer.state_dict()
    before = {group["name"]: group["params"] for group in saved["param_groups"]}
    for group in state["param_groups"]:
        for own, other in zip(group["params"], before.get(group["name"], ()), strict=False):
            if other in saved["state"]:
                state["state"][own] = saved["state"][other]
    optimizer.load_state_dict(state)


def set_learning_rates(optimizer: Optimizer | None, stage: Stage, n: float) -> None:
    """Learning rates for the n-th epoch (n >= 1) under the stage's name; a fraction is a part of the epoch."""
    for group in optimizer.param_groups if optimizer is not None else ():
        decay = stage.decay.get(group["name"])
        group["lr"] = stage.lr[group["name"]] * (decay.multiplier(n) if decay else 1.0)


def loss_weights(stage: Stage, epoch: int) -> dict[str, float]:
    """Weight of each loss term in an epoch (from 1) of the stage."""
    ramp = epoch / max(1, stage.epochs)
    return {name: weight * (ramp if name in stage.ramps else 1.0) for name, weight in stage.losses.items()}


@dataclass
class EpochSums:
    """Sums over the steps of an epoch; plain numbers, so that a run can be resumed in mid-epoch."""

    steps: int = 0
    images: int = 0
    right: float = 0.0
    loss: float = 0.0
    terms: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, loss: float, terms: Mapping[str, float], right: float, images: int) -> None:
        self.steps += 1
        self.images += images
        self.right += right
        self.loss += loss
        for name, value in terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """Mean loss, each term's mean over the steps that computed it, and the share of right predictions."""
        terms = {name: total / self.counts[name] for name, total in self.terms.items()}
        return {"loss": self.loss / max(1, self.steps), **terms, "accuracy": self.right / max(1, self.images)}


@dataclass(frozen=True)
class StepSettings:
    """What a step needs to know beside the batch."""

    weights: Mapping[str, float]
    trained: frozenset[str]
    alternate: bool
    gradient_clip: float | None = None
    idle_branch_updates: bool = False


def train_epoch(
    fabric: Fabric,
    step: nn.Module,
    model: PrototypeModel,
    optimizer: Optimizer | None,
    batches: Iterable[InputBatch],
    settings: StepSettings,
    sums: EpochSums,
    describe: Callable[[Tensor], str],
    after_step: Callable[[EpochSums], None],
) -> EpochSums:
    """Train on the batches of an epoch, from step `sums.steps` on.

    Args:
        fabric: Device, precision and processes.
        step: `TrainStep` as fabric set it up.
        model: The raw model inside.
        optimizer: As fabric set it up; None where nothing is trained, and the model only observes.
        batches: The batches that are left of the epoch.
        settings: See there.
        sums: Of the steps before.
        describe: Image indices -> their names, for errors.
        after_step: Called after each step; may raise to interrupt.

    Raises:
        UserError: The loss is not finite, or the gradients that are to be clipped; names the step and its images.
    """
    branches = [name for name, _ in model.named_branches()]
    for batch in batches:
        active = branches[sums.steps % len(branches)] if settings.alternate else None
        terms, right = step(fabric.to_device(batch.values), fabric.to_device(batch.labels), active)
        _check_names(settings.weights, terms, settings.alternate)
        loss = torch.stack([settings.weights[name] * term for name, term in terms.items()]).sum()
        numbers = torch.stack([loss.detach(), right.float(), *(term.detach() for term in terms.values())]).tolist()
        if not math.isfinite(numbers[0]):
            bad = [name for name, value in zip(terms, numbers[2:], strict=True) if not math.isfinite(value)]
            raise _not_finite(f"the loss became {numbers[0]} (terms: {', '.join(bad)})", sums, describe(batch.indices))
        if optimizer is not None:
            norm = _descend(fabric, step, optimizer, loss, settings)
            if not math.isfinite(norm):
                raise _not_finite(f"the norm of the gradients became {norm}", sums, describe(batch.indices))
            model.constrain(settings.trained)
        sums.add(numbers[0], dict(zip(terms, numbers[2:], strict=True)), numbers[1], len(batch.labels))
        after_step(sums)
    return sums


def _descend(fabric: Fabric, step: nn.Module, optimizer: Optimizer, loss: Tensor, settings: StepSettings) -> float:
    """One step of the optimizer, unless the gradients that are to be clipped are not finite: their norm, or 0."""
    optimizer.zero_grad(set_to_none=not settings.idle_branch_updates)
    fabric.backward(loss)
    if settings.gradient_clip is not None:
        clipped = fabric.clip_gradients(step, optimizer, max_norm=settings.gradient_clip, error_if_nonfinite=False)
        assert clipped is not None
        if not (scales_gradients(fabric) or math.isfinite(clipped)):
            return float(clipped)
    optimizer.step()
    return 0.0


def _not_finite(what: str, sums: EpochSums, images: str) -> UserError:
    return UserError(
        what,
        f"step {sums.steps}, images {images}",
        "lower the learning rates, look at these images, or set training.gradient_clip",
    )


def _check_names(weights: Mapping[str, float], terms: Mapping[str, Tensor], partial: bool) -> None:
    missing = set(weights) - set(terms)
    if missing and not partial:
        raise UserError(
            f"the loss terms {sorted(missing)} do not exist here",
            "schedule.losses",
            f"this model and stage compute {sorted(terms)}",
        )
    if not terms:
        raise UserError("no loss term is trained", "schedule.losses", "give at least one term a weight")


@torch.no_grad()
def accuracy(fabric: Fabric, model: PrototypeModel, kind: Kind, batches: Iterable[InputBatch]) -> float:
    """Share of right predictions, in eval mode; NaN without images."""
    model.eval()
    right = images = 0
    for batch in batches:
        logits = outputs(model, kind, fabric.to_device(batch.values)).logits
        right += int((logits.argmax(1) == fabric.to_device(batch.labels)).sum())
        images += len(batch.labels)
    return right / images if images else math.nan
