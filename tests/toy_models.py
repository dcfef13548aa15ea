"""Models whose numbers can be worked out on paper.

A prototype looks for one colour: its activation is the brightest red, green or blue of the picture.
"""

import torch
from torch import nn

from protoexplain.data.geometry import Geometry
from protoexplain.explanations.forward_pass import run_forward
from protoexplain.models.activation_statistics import ActivationStatistics
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.contract import LOGITS, PROBABILITIES, Ownership
from protoexplain.models.heads import LinearHead
from protoexplain.models.reasoning import ReasoningHead
from protoexplain.models.similarity import DotProduct

SIDE = 8
NAMES = ("Wren", "Robin", "Crow")
PLACES = {"red": (0, 1, 2), "green": (1, 4, 6), "blue": (2, 7, 0)}
"""Channel, row and column at which `dots` paints a colour."""


class ToyModel(PrototypeModel):
    """Class scores are probabilities where the head reasons."""

    def __init__(self, head, labels):
        prototypes = torch.eye(3)[: len(labels)].view(-1, 3, 1, 1)
        branch = Branch(nn.Identity(), prototypes, DotProduct(), head)
        super().__init__(nn.Identity(), {"main": branch}, Ownership.of_labels(torch.tensor(labels), len(NAMES)))
        self.score_unit = PROBABILITIES if isinstance(head, ReasoningHead) else LOGITS
        self.eval()


def linear(weights, labels=(0, 1, 2), usual=None):
    """A model with a linear head of weights [C,P]; heat maps go from 0 to 1 where it knows what is usual [P]."""
    head = LinearHead(Ownership.of_labels(torch.tensor(labels), len(NAMES)))
    head.weight.data = torch.tensor(weights, dtype=torch.float32)
    model, count = ToyModel(head, labels), len(labels)
    if usual is not None:
        model.set_statistics(ActivationStatistics(torch.tensor(usual), torch.zeros(count), torch.ones(count)))
    return model


def reasoning(positive, negative):
    """A model that reasons with P and N, each [K,R]; each of the R = n C concepts sums to one."""
    head = ReasoningHead(len(positive), len(NAMES), len(positive[0]) // len(NAMES))
    head.joint_logits.data = torch.cat([torch.tensor(positive), torch.tensor(negative)]).log()
    return ToyModel(head, [-1] * len(positive))


def dots(red=0.0, green=0.0, blue=0.0):
    """A black picture [3,S,S] with one pixel of each colour."""
    picture = torch.zeros(3, SIDE, SIDE)
    for name, value in (("red", red), ("green", green), ("blue", blue)):
        picture[PLACES[name]] = value
    return picture


def forward(model, picture, size=(SIDE, SIDE), box=None):
    """A reading of a picture."""
    return run_forward(model, picture, Geometry.of(size, box, picture.shape[1]), NAMES)
