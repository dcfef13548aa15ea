"""The passes over images without parts and objects: what the answer becomes, and what explanations said before.

n images, C classes, P parts, I items: the parts, then as many objects of the background as any image has.
T thresholds at which an explanation names items.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from protoexplain.data.interventions import Removal
from protoexplain.metrics.observe.part_rules import RuleSettings, find_rule
from protoexplain.metrics.observe.passes import Chunk
from protoexplain.metrics.stats.part_protocol import sets_of
from protoexplain.progress import ShareProgress

MISSING = -1
"""Stands for the class of an image that is not at hand."""


@dataclass(frozen=True)
class WithoutItems:
    """Scores of the true class [n,I] without each item, and whether the image has the item and the picture is there.

    Also, for the two classes of a contrast, [n,2,3] scores of the image, without the parts that the class shares with
    it, without those of the other; and whether all of these are there, [n].
    """

    name: str = "without"
    cost = 20

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        changed, labels = chunk.changed, chunk.labels.tolist()
        source = changed.source
        parts = len(source.class_parts.names)
        there = torch.stack([changed.items(row) for row in range(len(labels))])
        without = torch.zeros(there.shape, dtype=torch.float64)
        asked = [(row, item) for row, item in torch.nonzero(there).tolist()]
        removals = [(row, _removal(item, parts)) for row, item in asked]
        for (row, item), scores in zip(asked, changed.scores(removals, chunk.tell), strict=True):
            if scores is None:
                there[row, item] = False
            else:
                without[row, item] = scores[labels[row]]
        contrasts = torch.zeros(len(labels), 2, 3, dtype=torch.float64)
        known = torch.zeros(len(labels), dtype=torch.bool)
        for row, record in enumerate(chunk.records):
            contrast = source.contrast(record)
            if contrast is None:
                continue
            states = [(row, Removal(shared, hybrid=contrast.hybrid)) for shared in (0, *contrast.shared)]
            answers = [one for one in changed.scores(states) if one is not None]
            if len(answers) == len(states):
                table, (first, second) = torch.stack(answers), contrast.classes
                contrasts[row] = torch.stack([table[:, first], table[[0, 2, 1], second]])
                known[row] = True
        return {"without": without, "there": there, "contrasts": contrasts, "contrast_known": known}


@dataclass(frozen=True)
class NamedParts:
    """What a rule says of the items of each image.

    Columns: importance [n,I] and named items bool [n,T,I] for the true class; importance of the parts for the two
    classes of the contrast [n,2,P], and the parts that each shares bool [n,2,P]; the classes [n,T] predicted with only
    the parts left that are named for the predicted class, and without these; `MISSING` where not at hand.
    """

    rule: str
    settings: RuleSettings
    cost = 6

    @property
    def name(self) -> str:
        return f"parts/{self.rule}"

    def __call__(self, chunk: Chunk) -> dict[str, Tensor]:
        changed, rule, count = chunk.changed, find_rule(self.rule), len(chunk.labels)
        source = changed.source
        parts = len(source.class_parts.names)
        rows, taken = [], []
        for row, record in enumerate(chunk.records):
            label, predicted = int(chunk.labels[row]), int(chunk.output.logits[row].argmax())
            found = rule(changed.explained(row, False), torch.tensor([label, predicted]), self.settings)
            contrast = source.contrast(record)
            between, shared = torch.zeros(2, parts, dtype=torch.float64), torch.zeros(2, parts, dtype=torch.bool)
            if contrast is not None:
                picture = changed.explained(row, contrast.hybrid)
                between = rule(picture, torch.tensor(contrast.classes), self.settings).importance[:, :parts]
                shared = torch.tensor([[held >> part & 1 == 1 for part in range(parts)] for held in contrast.shared])
            rows.append(
                {
                    "importance": found.importance[0],
                    "named": found.named[0] & changed.items(row),
                    "between": between,
                    "shared": shared,
                }
            )
            taken.append(sets_of(found.named[1, :, :parts]))
            chunk.tell((row + 1) / count / 3)
        columns = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        sets = torch.stack(taken)
        everything = (1 << parts) - 1
        for third, (name, removed) in enumerate((("preserved", everything & ~sets), ("deleted", sets)), 1):
            asked = [(row, Removal(held)) for row in range(count) for held in removed[row].tolist()]
            scored = changed.scores(asked, partial(_tell_third, chunk.tell, third))
            classes = [MISSING if scores is None else int(scores.argmax()) for scores in scored]
            columns[name] = torch.tensor(classes).view(count, -1)
        return columns


def _tell_third(tell: ShareProgress, done: int, share: float) -> None:
    tell((done + share) / 3)


def _removal(item: int, parts: int) -> Removal:
    return Removal(1 << item) if item < parts else Removal(item=item - parts)
