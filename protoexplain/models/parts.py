"""A classifier over the parts of the object, which fine-tunes a backbone without letting the class leak anywhere.

Cross entropy alone does not care where a prototype looks: fine-tuned features tell the class in the background, too.
Here each class has one prototype for each part of the object, and every cell of a training image has to be most
similar to the prototype of the part that lies there, or to one of the background (patch-prototype cross entropy, Zhu
et al. 2025, "Interpretable Image Classification via Non-parametric Part Prototype Learning", within the own class).
Which part lies in a cell is told by a teacher that looks at the backbone as it was before.  Regions of the object
that look alike in all classes are no parts: like the background they get prototypes that no class owns.
B images, H x W cells, R regions of the object, M parts among them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from protoexplain.models.base import Branch, PrototypeModel, PrototypeOutput
from protoexplain.models.contract import Ownership
from protoexplain.models.heads import AggregationHead
from protoexplain.models.similarity import Cosine

CHANNELS, HIDDEN, BACKGROUNDS = 64, 64, 4
DIVISIONS = 6
"""How often a teacher divides the object, each time from other random numbers."""
SCALE, TEMPERATURE = 15.0, 0.1
"""Of the mean similarity in the class scores, and of similarities in the patch-prototype cross entropy."""
PLACE = 0.5
"""Weight of the cross entropy over the cells beside that over the prototypes."""
_UNLIKELY = -1e9
"""Logarithm of next to nothing, with a gradient."""


class PartTeacher(nn.Module):
    """Tells which of M parts, or none of them, each cell of a frozen backbone's map shows.

    It knows several divisions of the object into regions.  The parts are regions of the first one; the others tell what
    only one division sees.

    Args:
        backbone: Is copied; has `channels`.
        parts: Number of parts M.
        regions: Number R of regions that the object is divided into, at least M.
    """

    fitted: Tensor
    """Whether it was taught."""
    part_of_region: Tensor
    """int64 [R+1]: the part that each region is, M where it is none; the last one is the background."""
    tells: Tensor
    """bool [M]: whether each part tells classes apart by its own look."""

    def __init__(self, backbone: nn.Module, parts: int, regions: int) -> None:
        super().__init__()
        self.parts, self.regions = parts, regions
        self.register_buffer("fitted", torch.tensor(False))
        self.register_buffer("part_of_region", torch.arange(regions + 1).clamp_max(parts))
        self.register_buffer("tells", torch.ones(parts, dtype=torch.bool))
        self.backbone = copy.deepcopy(backbone)
        channels = self.channels = int(getattr(backbone, "fine_channels", backbone.channels))  # type: ignore[arg-type]
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.divisions = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, HIDDEN, 1), nn.ReLU(), nn.Conv2d(HIDDEN, regions + 1, 1))
            for _ in range(DIVISIONS)
        )
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> PartTeacher:
        """Always stays in eval mode."""
        return super().train(False)

    def forward(self, features: Tensor, division: int = 0) -> Tensor:
        """Features [B,D,H,W] of the copied backbone -> logits [B,R+1,H,W]; the last is the background."""
        logits: Tensor = self.divisions[division](self.norm(features[:, : self.channels]))
        return logits

    @torch.no_grad()
    def regions_of(self, features: Tensor) -> Tensor:
        """int64 [K,B,H,W]: the region that each cell of features [B,D,H,W] shows in each division, or R for none."""
        return torch.stack([self(features, division).argmax(1) for division in range(len(self.divisions))])

    def choose_parts(self, regions: Tensor, division: int, tells: Tensor) -> None:
        """Let M regions (indices) of a division, which becomes the first one, be the parts, in this order.

        Args:
            regions: int64 [M].
            division: Its number.
            tells: bool [M], whether each tells classes apart by its own look.
        """
        best = self.divisions[division]
        self.divisions = nn.ModuleList([best, *(other for other in self.divisions if other is not best)])
        self.part_of_region.fill_(self.parts)
        self.part_of_region[regions] = torch.arange(self.parts, device=regions.device)
        self.tells.copy_(tells)

    @torch.no_grad()
    def of_features(self, features: Tensor) -> Tensor:
        """int64 [B,H,W]: the part that each cell of features [B,D,H,W] shows, or M for none."""
        return self.part_of_region[self(features).argmax(1)]

    @torch.no_grad()
    def of_images(self, images: Tensor) -> Tensor:
        """The same of images."""
        return self.of_features(self.backbone(images))

    @torch.no_grad()
    def of_stem(self, maps: Tensor) -> Tensor:
        """The same, from what the frozen stem of the backbone gave."""
        return self.of_features(self.backbone.after_stem(maps))  # type: ignore[operator]


@dataclass(kw_only=True)
class PartOutput(PrototypeOutput):
    """With what the teacher says: int64 [B,H,W], the part in each cell, or M where it shows none."""

    shown: Tensor


class PartClassifier(PrototypeModel):
    """One prototype for each class and part, cosine similarity, equal weights; shares the backbone that it is given.

    Args:
        backbone: Has `channels`.
        classes: Number of classes.
        parts: Number of parts M.
        regions: Number of regions that the object is divided into; as many as parts by default.
    """

    def __init__(self, backbone: nn.Module, classes: int, parts: int, regions: int = 0) -> None:
        channels = int(backbone.channels)  # type: ignore[arg-type]
        ownership = Ownership.class_major(parts, classes)
        embedding = nn.Conv2d(channels, CHANNELS, 1, bias=False)
        nn.init.orthogonal_(embedding.weight)
        branch = Branch(
            addon=nn.Sequential(nn.BatchNorm2d(channels), embedding),
            prototypes=torch.randn(len(ownership.owned), CHANNELS, 1, 1),
            similarity=Cosine(),
            activation=partial(torch.mul, other=SCALE / parts),
            head=AggregationHead(ownership),
        )
        super().__init__(backbone, {"parts": branch}, ownership)
        self.parts = parts
        self.background = nn.Parameter(torch.randn(BACKGROUNDS, CHANNELS, 1, 1))
        self.teacher = PartTeacher(backbone, parts, max(parts, regions))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        groups = super().parameter_groups()
        return {**groups, "prototypes": [*groups["prototypes"], self.background]}

    def from_images(
        self, images: Tensor, names: frozenset[str] = frozenset(), active: str | None = None
    ) -> PrototypeOutput:
        output = super().from_images(images, names, active)
        return _taught(output, self.teacher.of_images(images)) if "parts" in names else output

    def from_stem(
        self, maps: Tensor, names: frozenset[str] = frozenset(), active: str | None = None
    ) -> PrototypeOutput:
        output = super().from_stem(maps, names, active)
        return _taught(output, self.teacher.of_stem(maps)) if "parts" in names else output

    def from_cached_features(
        self, features: Tensor, names: frozenset[str] = frozenset(), active: str | None = None
    ) -> PrototypeOutput:
        output = super().from_cached_features(features, names, active)
        return _taught(output, self.teacher.of_features(features)) if "parts" in names else output

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """cross_entropy; parts, the patch-prototype cross entropy over own prototypes and background."""
        terms = {"cross_entropy": F.cross_entropy(output.logits, labels)}
        latent = output.branches["parts"].latent
        if isinstance(output, PartOutput) and latent is not None:
            terms["parts"] = self._part_loss(latent, labels, output.shown)
        return {name: term for name, term in terms.items() if name in names}

    def _part_loss(self, latent: Tensor, labels: Tensor, shown: Tensor) -> Tensor:
        """Of each cell, which prototype it is most similar to, where those that show a part and those that show the
        background count alike; and of each prototype whose part is visible, in which cells it is most similar.
        """
        _, branch = self.named_branches()[0]
        prototypes = F.normalize(branch.prototypes.flatten(1), dim=1).view(self.classes, self.parts, -1)
        background = F.normalize(self.background.flatten(1), dim=1).expand(len(labels), -1, -1)
        compared = torch.cat([prototypes[labels], background], 1)
        similarity = compared @ F.normalize(latent.flatten(2), dim=1) / TEMPERATURE
        likely = similarity.log_softmax(1)
        target = shown.flatten(1)
        on_object = target < self.parts
        of_part = likely.gather(1, target.clamp_max(self.parts - 1)[:, None])[:, 0]
        of_background = likely[:, self.parts :].logsumexp(1)
        cells = target[:, None] == torch.arange(self.parts, device=target.device)[:, None]
        places = similarity[:, : self.parts].log_softmax(2).masked_fill(~cells, _UNLIKELY).logsumexp(2)
        of_cells = _mean(of_part, on_object) + _mean(of_background, ~on_object)
        return -(of_cells + PLACE * _mean(places, cells.any(2)))


def _taught(output: PrototypeOutput, shown: Tensor) -> PartOutput:
    return PartOutput(logits=output.logits, branches=output.branches, images=output.images, shown=shown)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum() / chosen.sum().clamp_min(1)
