"""Carry out decisions on prototypes and refit the head; the parent stays as it is.

The head is what turns activations into class scores: the last layer of ProtoPNet and ST-ProtoPNet, the weights of
EvalProtoPNet, PIP-Net and RBF-net, the reasoning of CBC.  It goes on from the parent's weights on the clean training
pictures, whose activations are known already, with the loss, optimizer and rate of the family's own schedule.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from protoexplain.editing.candidates import PatchCandidate, resolved
from protoexplain.editing.decisions import REMOVE, REPROJECT, Decision
from protoexplain.editing.preview import TRAIN, VALIDATION, EditPreview
from protoexplain.errors import UserError
from protoexplain.fabric import make_fabric
from protoexplain.models.base import PrototypeModel
from protoexplain.progress import Silent, Watcher
from protoexplain.training import engine
from protoexplain.training.callbacks import Callbacks
from protoexplain.training.checkpoint_ops import head_stage
from protoexplain.training.epochs import train_epochs
from protoexplain.training.feature_cache import activations_of, head_inputs
from protoexplain.training.inputs import CachedInputs
from protoexplain.training.trainer import Trainer

EPOCHS = 100
"""Of the refit at least, however few the family's schedule names: without some prototypes the head starts far off."""


@dataclass(frozen=True)
class Edited:
    """A model after decisions.

    Args:
        model: Without its backbone.
        decisions: What was carried out; all places are named.
        remaining: Numbers in the parent of the prototypes that are left, ascending.
        reprojected: Number in the parent -> where the prototype lies now.
        similarity: Split -> [N,P] of the best patches to the prototypes that are left.
    """

    model: PrototypeModel
    decisions: tuple[Decision, ...]
    remaining: tuple[int, ...]
    reprojected: Mapping[int, PatchCandidate]
    similarity: Mapping[str, Tensor]

    def activations(self, split: str) -> Tensor:
        """[N,P] as the head sees them at inference."""
        return activations_of(self.model, self.similarity[split])

    @torch.no_grad()
    def scores(self, split: str) -> Tensor:
        """Class scores [N,C]."""
        return self.model.from_activations(self.activations(split)).logits


@torch.no_grad()
def carry_out(preview: EditPreview, decisions: Sequence[Decision]) -> Edited:
    """The model with the decisions carried out, in their order, and the head as it was.

    Raises:
        UserError: A decision cannot be carried out, or no prototype would be left.
    """
    model = copy.deepcopy(preview.model)
    reprojected: dict[int, PatchCandidate] = {}
    done: list[Decision] = []
    for decision in decisions:
        preview.place(decision.prototype)
        if decision.do == REPROJECT:
            patch = reprojected[decision.prototype] = resolved(preview, decision, done)
            decision = decision.model_copy(update={"image": patch.image, "row": patch.row, "column": patch.column})
        done.append(decision)
    branches = dict(model.named_branches())
    similarity = {name: features.similarity for name, features in preview.features.items()}
    if reprojected:
        similarity = {name: values.clone() for name, values in similarity.items()}
    for prototype, patch in reprojected.items():
        name, _, own = preview.place(prototype)
        branches[name].prototypes.data[own : own + 1] = patch.written
        for split, features in preview.features.items():
            if len(features.images):
                similarity[split][:, prototype] = features.best(name, branches[name], patch.written)[:, 0]
    removed = {decision.prototype for decision in decisions if decision.do == REMOVE}
    remaining = [index for index in range(model.num_prototypes) if index not in removed]
    if not remaining:
        raise UserError("every prototype would be removed", "decisions", "keep at least one")
    if removed:
        model.select(torch.tensor(remaining))
        similarity = {name: values[:, remaining] for name, values in similarity.items()}
    return Edited(model.eval(), tuple(done), tuple(remaining), reprojected, similarity)


def refit(preview: EditPreview, edited: Edited, epochs: int | None = None, watcher: Watcher | None = None) -> int:
    """Train the head of an edited model, in place.

    Args:
        preview: That it was made on.
        edited: To be trained.
        epochs: None takes as many as the family trains its head, but at least `EPOCHS`.
        watcher: Is shown the progress.

    Returns:
        Epochs trained.

    Raises:
        UserError: The loss is not finite.
    """
    config = preview.checkpoint.config
    stage = head_stage(config)
    if stage is None:
        return 0
    stage = stage.over(max(stage.epochs, EPOCHS) if epochs is None else epochs).model_copy(update={"name": "refit"})
    if not stage.epochs:
        return 0
    callbacks = Callbacks(_ByEpoch(watcher or Silent(), stage.epochs))
    trainer = Trainer(config, edited.model, preview.data, make_fabric("cpu"), callbacks=callbacks)
    trained = engine.freeze(edited.model, stage.lr)
    train_epochs(trainer, stage, trained, _inputs(preview, edited, TRAIN), _inputs(preview, edited, VALIDATION))
    edited.model.requires_grad_(False).eval()
    return stage.epochs


def _inputs(preview: EditPreview, edited: Edited, split: str) -> CachedInputs:
    return head_inputs(edited.model, edited.similarity[split], preview.features[split].labels, training=split == TRAIN)


class _ByEpoch:
    """Tells the steps of all epochs as one piece of work."""

    def __init__(self, watcher: Watcher, epochs: int) -> None:
        self._watcher, self._epochs, self._finished = watcher, epochs, 0

    def progress(self, what: str, done: int, total: int) -> None:
        self._watcher.progress("refitting the head", self._finished * total + done, self._epochs * total)
        self._finished += done >= total

    def line(self, text: str) -> None:
        pass
