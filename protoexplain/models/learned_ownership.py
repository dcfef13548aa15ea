"""Models whose classes learn which prototypes are theirs: their heads say so at any moment, checkpoints hold it."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar, cast

from torch import nn

from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.contract import Ownership


class OwningHead(Protocol):
    """A head that knows which classes own which prototypes."""

    def ownership(self) -> Ownership:
        """As the head has it now."""


Owning = TypeVar("Owning", bound=OwningHead)


class LearnedOwnership(PrototypeModel, Generic[Owning]):
    """One branch, whose head owns the prototypes.

    Args:
        backbone: Images [B,3,S,S] in [0, 1] -> features.
        branch: Its head is an `OwningHead`.
    """

    def __init__(self, backbone: nn.Module, branch: Branch) -> None:
        super().__init__(backbone, {"main": branch}, cast(OwningHead, branch.head).ownership())
        self.register_state_dict_pre_hook(_note_owners)

    @property
    def head(self) -> Owning:
        """Of the one branch."""
        (_, branch), *_ = self.named_branches()
        return cast(Owning, branch.head)

    @property
    def ownership(self) -> Ownership:
        return self.head.ownership()


def _note_owners(model: nn.Module, *_: object) -> None:
    """Before a state dict is made: hold the owners of prototypes as the head has them now."""
    assert isinstance(model, PrototypeModel)
    model.set_ownership(model.ownership)
