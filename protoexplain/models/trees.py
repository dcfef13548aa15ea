"""Soft decision trees: a head that asks at each node whether a prototype is found (ProtoTree).

Nauta, van Bree, Seifert 2021, "Neural Prototype Trees for Interpretable Fine-grained Image Recognition".  An image goes
right (found) with the probability that its activation is, else left (missing).  A class score is the sum over the
leaves of the probability of the way there times the share of the class in the leaf: a probability.  Leaves are learned
without gradient, by counting which images they are responsible for.

The tree is complete and keeps its shape: nodes are numbered by level, and the children of node i of a level are the
nodes 2i (left, missing) and 2i + 1 (right, found) of the next.  A node that has lost its prototype goes right with a
fixed probability.  With 0 or 1, as after pruning, one of its subtrees is never reached.
B images, P prototypes, C classes, N = 2^depth - 1 nodes, L = 2^depth leaves.
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor

from protoexplain.models.contract import Decision, EvidenceKind, Ownership, Route
from protoexplain.models.heads import Evidence, Head
from protoexplain.models.precision import in_float32
from protoexplain.models.processes import over_processes

_UNSEEN = 1e-3
"""Images that a leaf counts for in the usual way through the tree, beside those it has seen."""


def pre_order(depth: int) -> Tensor:
    """int64 [N]: for each node by level its place among the nodes in pre-order, as the published code counts them."""
    level, places = torch.zeros(1, dtype=torch.long), []
    for below in range(depth - 1, -1, -1):
        places.append(level)
        level = torch.stack([level + 1, level + 2**below], 1).flatten()
    return torch.cat(places)


def arrivals(right: Tensor) -> list[Tensor]:
    """Probability of coming to each node, level by level, leaves last: [B,1], [B,2], ... [B,L] from those of going
    right, [B,N]."""
    return list(accumulate(_by_level(right), arrivals_below, initial=torch.ones_like(right[:, :1])))


def arrivals_below(reached: Tensor, right: Tensor) -> Tensor:
    """Probability of coming to each node of the next level [B,2n] from those of this one and of going right, [B,n]."""
    return torch.stack([reached * (1 - right), reached * right], -1).flatten(1)


def _by_level(nodes: Tensor) -> list[Tensor]:
    """What is told by node [...,N], as one part for each level."""
    depth = (nodes.shape[-1] + 1).bit_length() - 1
    return list(nodes.split([2**level for level in range(depth)], -1))


class TreeHead(Head):
    """score_c = sum over leaves l of a_l t_lc, a_l the product of s (found) and 1 - s (missing) on the way.

    Evidence of a node is how much its decision changes what is expected for a class (Saabas 2014, for soft decisions):
    V of a node is the class distribution that images of the training have below it; being found adds a s (V_right - V),
    missing a (1 - s) (V_left - V), where a is the probability of coming to the node.  With V of the root as bias this
    adds up to the score.

    Args:
        depth: Decisions on each way, h.
        classes: C.
    """

    full_evidence_kind = EvidenceKind.ROUTE
    affine = False
    rows: Tensor
    """int64 [N]: the prototype of each node, -1 where it has none."""
    fixed: Tensor
    """[N]: the probability of going right where there is none."""
    counts: Tensor
    """[L,C]: logits of the leaves, which are numbers of training images."""
    counts_before: Tensor
    """[L,C]: the same at the beginning of the epoch."""

    def __init__(self, depth: int, classes: int) -> None:
        super().__init__()
        self.depth = depth
        self.register_buffer("rows", pre_order(depth))
        self.register_buffer("fixed", torch.full((2**depth - 1,), 0.5))
        self.register_buffer("counts", torch.zeros(2**depth, classes))
        self.register_buffer("counts_before", torch.zeros(2**depth, classes))
        self.prototypes = len(self.rows)
        self.steps = 1
        self._responsible: Tensor | None = None

    # ------------------------------------------------------------------ inference

    def right(self, activations: Tensor) -> Tensor:
        """[B,N] probability of going right at each node, from activations [B,P]."""
        found = activations[:, self.rows.clamp_min(0).to(activations.device)]
        return torch.where(self.rows.to(found.device) >= 0, found, self.fixed.to(found))

    @in_float32
    def log_arrival(self, activations: Tensor) -> Tensor:
        """[B,L] logarithm of the probability of coming to each leaf."""
        right = self.right(activations)
        least = torch.finfo(right.dtype).tiny
        found, missing = (_by_level(each.clamp_min(least).log()) for each in (right, 1 - right))
        reached = torch.zeros_like(right[:, :1])
        for yes, no in zip(found, missing, strict=True):
            reached = torch.stack([reached + no, reached + yes], -1).flatten(1)
        return reached

    @property
    def distributions(self) -> Tensor:
        """[L,C] of the leaves."""
        return self.counts.softmax(1)

    @in_float32
    def forward(self, activations: Tensor) -> Tensor:
        reached = self.log_arrival(activations).exp()
        return reached @ self.distributions.to(reached)

    def route(self, activations: Tensor) -> Route:
        """The way of one image, activations [P], which goes right where that is more probable than not."""
        right, rows = self.right(activations[None])[0].tolist(), self.rows.tolist()
        place, probability, decisions = 0, 1.0, []
        for level in range(self.depth):
            node = 2**level - 1 + place
            found = right[node] > 0.5
            probability *= right[node] if found else 1 - right[node]
            if rows[node] >= 0:
                decisions.append(Decision(rows[node], found, right[node]))
            place = 2 * place + found
        leaf = self.distributions[place]
        return Route(tuple(decisions), int(leaf.argmax()), float(leaf.max()), probability)

    # ------------------------------------------------------------------ learning

    @in_float32
    def log_likelihood(self, activations: Tensor, labels: Tensor) -> Tensor:
        """[B] logarithm of the probability of each image's label."""
        return self._log_joint(activations, labels).logsumexp(1)

    def _log_joint(self, activations: Tensor, labels: Tensor) -> Tensor:
        """[B,L] logarithm of the probability of coming to each leaf and of the label there."""
        return self.log_arrival(activations) + self.counts.log_softmax(1).T[labels].to(activations)

    def begin_epoch(self, steps: int, done: int) -> None:
        """Before an epoch of so many steps, some of which may be done."""
        self.steps = steps
        if not done:
            self.counts_before = self.counts.clone()

    @torch.no_grad()
    def observe(self, activations: Tensor, labels: Tensor) -> None:
        """Find how far each leaf is responsible for each image of a step; over the leaves these shares add up to one.

        Activations [B,P] and leaves are those before the step; `update` follows it.
        """
        shares = self._log_joint(activations, labels).softmax(1).to(self.counts)
        self._responsible = over_processes(torch.zeros_like(self.counts).T.contiguous().index_add_(0, labels, shares).T)

    @torch.no_grad()
    def update(self) -> None:
        """Count the images of a step, and forget as large a part of what was counted before the epoch.

        After an epoch the counts are those of its images, as many as these are.
        """
        if self._responsible is not None:
            kept = (self.counts - self.counts_before / self.steps).clamp_min(0)
            self.counts, self._responsible = kept + self._responsible, None

    # ------------------------------------------------------------------ what is usual

    def reachable(self) -> Tensor:
        """bool [L]: leaves that some activations lead to."""
        undecided = torch.full_like(self.fixed, 0.5)
        return arrivals(torch.where(self.rows >= 0, undecided, self.fixed)[None])[-1][0] > 0

    def usual(self) -> tuple[Tensor, list[Tensor]]:
        """How the images of the training go right at each node [N], and their classes below it by level, [2^j,C]."""
        images = (self.counts.sum(1) + _UNSEEN) * self.reachable()
        rights, values = [], [self.distributions]
        for rows, fixed in zip(_by_level(self.rows)[::-1], _by_level(self.fixed)[::-1], strict=True):
            sides = images.unflatten(0, (-1, 2))
            images = sides.sum(1)
            right = torch.where(rows >= 0, sides[:, 1] / images.clamp_min(_UNSEEN), fixed)
            rights.append(right)
            values.append(torch.lerp(values[-1][::2], values[-1][1::2], right[:, None]))
        return torch.cat(rights[::-1]), values[::-1]

    def evidence(self, activations: Tensor, classes: Tensor) -> Evidence:
        right = self.right(activations)
        values = [each[:, classes.to(each.device)].to(activations) for each in self.usual()[1]]
        presence, absence = [], []
        levels = zip(arrivals(right), _by_level(right), values, values[1:], strict=False)
        for reached, found, here, below in levels:
            presence.append((reached * found)[:, :, None] * (below[1::2] - here))
            absence.append((reached * (1 - found))[:, :, None] * (below[::2] - here))
        found, missing = (self._by_prototype(torch.cat(each, 1)) for each in (presence, absence))
        return Evidence(found, missing, values[0][0])

    def class_weights(self) -> Tensor:
        """[C,P]: change of a class score per unit of activation in an image that goes the usual ways."""
        right, values = self.usual()
        reached = arrivals(right[None])
        changes = [a[0, :, None] * (below[1::2] - below[::2]) for a, below in zip(reached, values[1:], strict=False)]
        return self._by_prototype(torch.cat(changes)[None])[0].T

    def _by_prototype(self, nodes: Tensor) -> Tensor:
        """Sum over the nodes of each prototype: [B,P,k] from [B,N,k].

        Evidence of nodes without one adds up to nothing: what is expected there is the mean of what follows.
        """
        places = self.rows.to(nodes.device) + 1
        return nodes.new_zeros(len(nodes), self.prototypes + 1, nodes.shape[2]).index_add_(1, places, nodes)[:, 1:]

    # ------------------------------------------------------------------ structure

    def ownership(self) -> Ownership:
        """A prototype belongs to the most probable classes of the leaves below its node; without one to all."""
        shares = self.distributions
        below, nodes = (shares == shares.amax(1, keepdim=True)) & self.reachable()[:, None], []
        for _ in range(self.depth):
            below = below.unflatten(0, (-1, 2)).any(1)
            nodes.append(below)
        owned = self._by_prototype(torch.cat(nodes[::-1]).float()[None])[0] > 0
        return Ownership(owned | ~owned.any(1, keepdim=True))

    @property
    def unused(self) -> Tensor:
        """bool [P]: prototypes of no node."""
        return ~torch.isin(torch.arange(self.prototypes, device=self.rows.device), self.rows)

    @torch.no_grad()
    def prune(self, threshold: float) -> None:
        """Cut off the subtrees all of whose leaves give no class more than a threshold.

        The node above such a subtree loses its prototype, and always goes to the other side.  Where fewer than two
        leaves would be left the tree stays as it is.  Published likewise, but that weak children of the root stay.
        """
        weak = (self.distributions.amax(1) <= threshold) | ~self.reachable()
        if int((~weak).sum()) < 2:
            return
        rows, fixed = [], []
        for row, old in zip(_by_level(self.rows)[::-1], _by_level(self.fixed)[::-1], strict=True):
            sides = weak.unflatten(0, (-1, 2))
            weak, cut = sides.all(1), sides.any(1)
            rows.append(row.masked_fill(cut, -1))
            fixed.append(torch.where(cut, sides[:, 0].to(old), old))
        self.rows, self.fixed = torch.cat(rows[::-1]), torch.cat(fixed[::-1])

    def select(self, prototypes: Tensor) -> None:
        """Nodes of dropped prototypes go right as often as images of the training did."""
        place = torch.full((self.prototypes,), -1, device=self.rows.device)
        place[prototypes] = torch.arange(len(prototypes), device=self.rows.device)
        dropped = (self.rows >= 0) & (place[self.rows] < 0)
        self.fixed = torch.where(dropped, self.usual()[0], self.fixed)
        self.rows = place[self.rows].masked_fill(self.rows < 0, -1)
        self.prototypes = len(prototypes)

    def merge(self, into: Tensor) -> None:
        """Nodes look for the prototype that theirs goes into; several then look for the same."""
        self.rows = into.to(self.rows)[self.rows].masked_fill(self.rows < 0, -1)
