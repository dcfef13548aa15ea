"""A family with maps of two sizes: ProtoPNet with prototypes of one cell in one branch, of 2 x 2 cells in another."""

import torch
from torch import nn

from protoexplain.models import losses
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.contract import Ownership
from protoexplain.models.families.protopnet import ProtoPNetConfig, ProtoPNetSchedule, stages
from protoexplain.models.families.protopnet.network import addon_layers
from protoexplain.models.family import Family
from protoexplain.models.heads import LinearHead
from protoexplain.models.similarity import NegativeSquaredL2

NAME = "two_sizes"
DEPTH = 8


class TwoSizes(PrototypeModel):
    def __init__(self, config: ProtoPNetConfig, classes: int, backbone: nn.Module, channels: int) -> None:
        ownership = Ownership.class_major(config.prototypes_per_class, classes)
        branches = {
            f"{side} x {side}": Branch(
                addon=addon_layers(channels, DEPTH, "regular"),
                prototypes=torch.rand(len(ownership.owned), DEPTH, side, side),
                similarity=NegativeSquaredL2(),
                head=LinearHead(ownership),
            )
            for side in (1, 2)
        }
        super().__init__(backbone, branches, ownership.repeat(2))

    def loss_terms(self, output, labels, names, active=None):
        own = self.ownership.of_images(labels)
        terms = {"cross_entropy": nn.functional.cross_entropy(output.logits, labels)}
        if all(out.similarity is not None for out in output.branches.values()):
            similarity = torch.cat([out.similarity for out in output.branches.values()], 1)
            terms["cluster"] = -losses.best_among(similarity, own).mean()
            terms["separation"] = -losses.best_among(similarity, ~own).mean()
        terms["l1"] = losses.wrong_class_l1(self.class_weights(), self.ownership)
        return {name: value for name, value in terms.items() if name in names}


FAMILY = Family(
    title="Two sizes",
    paper="of the tests",
    config=ProtoPNetConfig,
    schedule=ProtoPNetSchedule,
    model=TwoSizes,
    stages=stages,
    tiny={"prototypes_per_class": 2},
)
