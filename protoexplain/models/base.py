"""The contract of all families: images -> features -> activations -> class scores, with evidence that adds up.

A model is a backbone and one or more branches.  A branch embeds the features, compares every patch with its
prototypes, keeps the best patch of each (the activation) and scores the classes; the scores of the branches are
summed.  Prototypes are numbered over all branches.  B images, P prototypes, C classes, H x W cells.

The size of maps belongs to the branch: branches may have maps of other sizes, because of their embeddings or of the
size of their prototypes.  Maps are therefore given by branch, and whoever shows or measures a prototype asks for
nothing but its own activation map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from protoexplain.models.activation_statistics import ActivationStatistics
from protoexplain.models.calibration import Calibration
from protoexplain.models.contract import EVERYWHERE, LOGITS, EvidenceKind, Ownership, PrototypeSource, Route
from protoexplain.models.heads import Evidence, Head
from protoexplain.models.similarity import Similarity

Activation = Callable[[Tensor], Tensor]


def identity(similarity: Tensor) -> Tensor:
    return similarity


@dataclass
class BranchOutput:
    """What one branch computed for a batch.

    Args:
        activations: [B,P] input of the head.
        logits: [B,C].
        similarity: [B,P] best similarity, which the cluster and separation costs use; None from cached activations.
        cells: int64 [B,P] of the best patches; None from cached activations.
        latent: [B,D,H,W] where the family's losses may need it; None from cached activations.
        maps: [B,P,H,W] where the family's losses need them.
    """

    activations: Tensor
    logits: Tensor
    similarity: Tensor | None = None
    cells: Tensor | None = None
    maps: Tensor | None = None
    latent: Tensor | None = None


@dataclass
class PrototypeOutput:
    """Class scores [B,C] summed over the branches that were computed, the branches by name, and what they saw.

    `images` [B,3,S,S] is None where the model started from something cached.
    """

    logits: Tensor
    branches: dict[str, BranchOutput]
    images: Tensor | None = None

    @property
    def activations(self) -> Tensor:
        """[B,P] over the branches that were computed."""
        return torch.cat([branch.activations for branch in self.branches.values()], 1)


class Branch(nn.Module):
    """Embedding, prototypes and head of one branch.

    Args:
        addon: Features [B,Din,h,w] -> latent map z [B,D,H,W].
        prototypes: [P,D,h1,w1]; with h1 = w1 = 2 each prototype has four cells, and projection, boxes, explanations and
            metrics follow.
        similarity: Higher is closer.
        activation: Monotone function of the similarity that the head sees.
        head: Activations -> class scores.
        loss_similarity: Compared in the losses where it is not `similarity` (ST-ProtoPNet on crops).
        trained_prototypes: Whether they are parameters.
        projected_by: Says which patch is nearest to a prototype where it is not `similarity`, which may depend on the
            rest of the image (ProtoPool).
    """

    def __init__(
        self,
        addon: nn.Module,
        prototypes: Tensor,
        similarity: Similarity,
        head: Head,
        activation: Activation = identity,
        loss_similarity: Similarity | None = None,
        trained_prototypes: bool = True,
        projected_by: Similarity | None = None,
    ) -> None:
        super().__init__()
        self.addon = addon
        if trained_prototypes:
            self.prototypes = nn.Parameter(prototypes)
        else:
            self.register_buffer("prototypes", prototypes)
        self.similarity, self.activation, self.head = similarity, activation, head
        self.loss_similarity, self.projected_by = loss_similarity, projected_by or similarity

    def forward(self, features: Tensor) -> BranchOutput:
        z = self.addon(features)
        best, cells = self.similarity.best(z, self.prototypes)
        activations = self.activation(best)
        compared = self.loss_similarity.best(z, self.prototypes)[0] if self.loss_similarity else best
        return BranchOutput(activations, self.head(activations), compared, cells, latent=z)

    def similarity_maps(self, features: Tensor) -> Tensor:
        """[B,P,H,W] of the similarity itself."""
        return self.similarity.maps(self.addon(features), self.prototypes)

    def activation_maps(self, similarity: Tensor, prototypes: Tensor | None = None) -> Tensor:
        """Similarity maps [...,P,H,W], of all prototypes or of some (indices within the branch), in units of the
        activation: the maximum of each map is the activation."""
        return self.activation(similarity)

    def select(self, prototypes: Tensor) -> None:
        """Drop all prototypes but the selected ones (indices)."""
        selected = self.prototypes.detach()[prototypes].clone()
        if isinstance(self.prototypes, nn.Parameter):
            self.prototypes = nn.Parameter(selected)
        else:
            self.prototypes = selected
        self.head.select(prototypes)


class PrototypeModel(nn.Module):
    """A prototype-part classifier.  It knows nothing of data sets, devices or files.

    Args:
        backbone: Images [B,3,S,S] in [0, 1] -> features.
        branches: Name -> branch.
        ownership: Which classes own the prototypes, over all branches.
    """

    prototype_class: Tensor
    """int64 [P], the labels of `ownership`, as checkpoints hold them."""
    owned: Tensor
    """bool [P,C], of `ownership`."""
    prototype_source = PrototypeSource.PROJECTED
    score_unit = LOGITS
    detection = EVERYWHERE
    statistics: ActivationStatistics | None = None
    """Of the training images; None before they were gathered."""
    calibration: Calibration | None = None
    """By held-out images, if there were any and no prototypes were dropped since.  Class scores do not depend on it."""

    def __init__(self, backbone: nn.Module, branches: Mapping[str, Branch], ownership: Ownership) -> None:
        super().__init__()
        self.backbone = backbone
        self.branches = nn.ModuleDict(branches)
        self.register_buffer("prototype_class", ownership.labels)
        self.register_buffer("owned", ownership.owned, persistent=False)
        self.classes = ownership.owned.shape[1]

    @property
    def ownership(self) -> Ownership:
        """Which classes own the prototypes; on the model's device."""
        return Ownership(self.owned)

    def set_ownership(self, ownership: Ownership) -> None:
        """Let the prototypes belong to these classes; weights stay as they are."""
        device = self.owned.device
        self.owned, self.prototype_class = ownership.owned.to(device), ownership.labels.to(device)
        parts = zip(self.named_branches(), ownership.split(self.branch_sizes()), strict=True)
        for (_, branch), part in parts:
            branch.head.set_ownership(part)

    # ------------------------------------------------------------------ inference

    def forward(self, images: Tensor) -> PrototypeOutput:
        return self.from_images(images)

    def from_images(
        self, images: Tensor, names: frozenset[str] = frozenset(), active: str | None = None
    ) -> PrototypeOutput:
        """The whole model; families with loss terms that need more of the backbone than its features add it here."""
        output = self.from_features(self.backbone(images), active)
        output.images = images
        return output

    def from_stem(
        self, maps: Tensor, names: frozenset[str] = frozenset(), active: str | None = None
    ) -> PrototypeOutput:
        """Everything after the frozen stem of the backbone; the same numbers as `from_images`, without the images."""
        return self.from_features(self.backbone.after_stem(maps), active)  # type: ignore[operator]

    def from_cached_features(
        self, features: Tensor, names: frozenset[str] = frozenset(), active: str | None = None
    ) -> PrototypeOutput:
        """Everything after a backbone that is not trained; the same numbers as `from_images`, without the images."""
        return self.from_features(features, active)

    def from_features(self, features: Tensor, active: str | None = None) -> PrototypeOutput:
        """Everything after the backbone; `active` computes one branch only."""
        branches = {name: branch(features) for name, branch in self.named_branches() if active in (None, name)}
        return PrototypeOutput(torch.stack([out.logits for out in branches.values()]).sum(0), branches)

    def from_activations(self, activations: Tensor, active: str | None = None) -> PrototypeOutput:
        """Only the heads, from activations [B,P] over all branches."""
        parts = zip(self.named_branches(), activations.split(self.branch_sizes(), 1), strict=True)
        branches = {
            name: BranchOutput(part, branch.head(part)) for (name, branch), part in parts if active in (None, name)
        }
        return PrototypeOutput(torch.stack([out.logits for out in branches.values()]).sum(0), branches)

    def activations(self, features: Tensor) -> Tensor:
        """[B,P] over all branches."""
        return self.from_features(features).activations

    def activation_maps(self, features: Tensor) -> list[Tensor]:
        """[B,p,H,W] of each branch's p prototypes, in units of the activation: its maximum is the activation."""
        return [branch.activation_maps(branch.similarity_maps(features)) for _, branch in self.named_branches()]

    @property
    def evidence_kind(self) -> EvidenceKind:
        """How evidence is counted; all branches have heads of one kind."""
        (_, branch), *_ = self.named_branches()
        return branch.head.evidence_kind

    @property
    def affine(self) -> bool:
        """Whether class scores are affine in the activations."""
        return all(branch.head.affine for _, branch in self.named_branches())

    def route(self, activations: Tensor) -> Route | None:
        """The way of one image with activations [P] through a tree; None for models without such."""
        return None

    def evidence(self, activations: Tensor, classes: Tensor) -> Evidence:
        """Evidence of all prototypes [B,P] for the chosen classes [k]; adds up to their `evidence_scores`."""
        parts = []
        for (_, branch), part in zip(self.named_branches(), activations.split(self.branch_sizes(), 1), strict=True):
            evidence, average = branch.head.evidence(part, classes), branch.head.average_evidence(part)
            parts.append(evidence if average is None else evidence - average)
        return Evidence(
            torch.cat([part.presence for part in parts], 1),
            torch.cat([part.absence for part in parts], 1),
            torch.stack([part.bias for part in parts]).sum(0),
        )

    def evidence_scores(self, logits: Tensor) -> Tensor:
        """Class scores [B,C] as evidence adds up to them: relative to the average class where evidence is Shapley."""
        return logits - logits.mean(1, keepdim=True) if self.evidence_kind.relative else logits

    @property
    def full_evidence_kind(self) -> EvidenceKind:
        """How evidence is counted where usual activations are known."""
        (_, branch), *_ = self.named_branches()
        return branch.head.full_evidence_kind

    def set_statistics(self, statistics: ActivationStatistics | None) -> None:
        """Let the model know what the training images give to its prototypes; evidence then counts from what is usual.

        Scores and probabilities do not change.
        """
        self.statistics = statistics
        if statistics is not None:
            self.set_baseline_activations(statistics.usual)

    def set_baseline_activations(self, activations: Tensor | None) -> None:
        """Let evidence count from these activations [P], where the family's does so, or from zero."""
        sizes = self.branch_sizes()
        parts = [None] * len(sizes) if activations is None else activations.split(sizes)
        for (_, branch), part in zip(self.named_branches(), parts, strict=True):
            branch.head.set_baseline_activations(part)

    def disagreement(self, activations: Tensor, classes: Tensor) -> Evidence | None:
        """What the chosen classes [k] lose: with the evidence it adds up to one.  None where the heads know no such."""
        (_, branch), *others = self.named_branches()
        return None if others else branch.head.disagreement(activations, classes)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class scores [B,C] -> probabilities [B,C] in [0, 1], as sure as held-out images allow."""
        found = self.score_unit.probabilities(logits)
        return found if self.calibration is None else self.calibration.tempered(found)

    def class_weights(self) -> Tensor:
        """[C,P]: change of each class score per unit of each prototype's activation."""
        return torch.cat([branch.head.class_weights() for _, branch in self.named_branches()], 1)

    def presence_weights(self) -> Tensor:
        """[C,P]: what one unit of each prototype's activation adds to each class score by being found."""
        return torch.cat([branch.head.presence_weights() for _, branch in self.named_branches()], 1)

    def baseline_activations(self) -> Tensor:
        """[P]: activations from which evidence by presence counts (`Head.baseline_activations`)."""
        return torch.cat([branch.head.baseline_activations() for _, branch in self.named_branches()])

    def certified_radius(self, output: PrototypeOutput, labels: Tensor) -> Tensor:
        """[B]: how far pictures may move before their answers can be other than their labels, by the Euclidean distance
        of what the model compares; not positive where they are.  Of models whose family says `certified`."""
        raise NotImplementedError

    def decoded_prototypes(self) -> Tensor:
        """Pictures [P,3,S,S] in [0, 1] of the prototypes, of models that draw them."""
        raise NotImplementedError

    # ------------------------------------------------------------------ structure

    def named_branches(self) -> list[tuple[str, Branch]]:
        return [(name, branch) for name, branch in self.branches.items() if isinstance(branch, Branch)]

    def branch_sizes(self) -> list[int]:
        return [len(branch.prototypes) for _, branch in self.named_branches()]

    @property
    def unused(self) -> Tensor:
        """bool [P]: prototypes that nothing uses, such as those that no class has chosen; projection drops them."""
        return torch.zeros_like(self.owned[:, 0])

    @property
    def num_prototypes(self) -> int:
        return sum(self.branch_sizes())

    def prototype_branch(self) -> list[str]:
        """The branch name of each prototype."""
        return [name for name, branch in self.named_branches() for _ in range(len(branch.prototypes))]

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Groups that stages name, from `GROUPS`; empty groups are left out."""
        trainable = getattr(self.backbone, "trainable_parameters", self.backbone.parameters)
        groups: dict[str, list[nn.Parameter]] = {
            "lower": list(getattr(self.backbone, "lower_parameters", tuple)()),
            "backbone": list(trainable()),
            "addon": [],
            "prototypes": [],
            "head": [],
        }
        for _, branch in self.named_branches():
            groups["addon"] += branch.addon.parameters()
            groups["head"] += branch.head.parameters()
            if isinstance(branch.prototypes, nn.Parameter):
                groups["prototypes"].append(branch.prototypes)
        return {name: parameters for name, parameters in groups.items() if parameters}

    def select(self, prototypes: Tensor) -> None:
        """Drop all prototypes but the selected ones (sorted indices over all branches)."""
        start, ownership = 0, self.ownership.select(prototypes)
        for (_, branch), size in zip(self.named_branches(), self.branch_sizes(), strict=True):
            inside = (prototypes >= start) & (prototypes < start + size)
            branch.select(prototypes[inside] - start)
            start += size
        self.set_ownership(ownership)
        self.statistics = None if self.statistics is None else self.statistics.select(prototypes)
        self.calibration = None

    def merge(self, into: Tensor) -> None:
        """Let each prototype go into another one of its branch, or stay: int64 [P], itself where it stays.

        Its classes own that one, too, and weights add up.
        """
        into, start = into.to(self.owned.device), 0
        ownership = self.ownership.merged(into)
        for (_, branch), part in zip(self.named_branches(), into.split(self.branch_sizes()), strict=True):
            branch.head.merge(part - start)
            start += len(part)
        self.set_ownership(ownership)
        self.select(into.unique())

    # ------------------------------------------------------------------ what families define

    def loss_terms(
        self, output: PrototypeOutput, labels: Tensor, names: frozenset[str], active: str | None = None
    ) -> dict[str, Tensor]:
        """The named loss terms as scalars; only those that apply to the active branch."""
        raise NotImplementedError

    def start_from_patches(self, sample: Callable[[], tuple[Tensor, Tensor]]) -> None:
        """Before the training, on a backbone that is ready: a sample are features float32 [N,D] of random patches of
        training images, on the CPU, and bool [N], whether they lie at edges of their images."""

    def anneal(self, done: float) -> None:
        """Before each epoch of a stage that anneals: the share in (0, 1] that is done of it."""

    def prune_before_projection(self) -> None:
        """Let go of what projection need not write: prototypes may become `unused`."""

    def begin_epoch(self, steps: int, done: int) -> None:
        """Before an epoch of so many steps is trained on; some are done where a run was resumed within it."""

    def observe(self, output: PrototypeOutput, labels: Tensor) -> None:
        """In a training step, before the optimizer changes anything: what is to be learned without gradient."""

    def constrain(self, trained: frozenset[str]) -> None:
        """Restore the constraints on parameters after an optimizer step over the trained groups."""

    def finalize(self, similarity: Tensor) -> None:
        """Last change of a trained model, given the best similarity [P] of each prototype in the training images."""
