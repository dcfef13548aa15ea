"""Two pictures in one model, or one picture in two models: what the decisions have in common, what sets them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from protoexplain.explanations.evidence.match import Match, matches
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.forward_pass import ForwardPass
from protoexplain.view.build import TOP_CLASSES
from protoexplain.view.image_pictures import ImagePictures
from protoexplain.view.sentences import LEAST
from protoexplain_app.input_image import InputImage, run_model
from protoexplain_app.links import Parameters, number
from protoexplain_app.pictures import ServedPictures, prototype_picture
from protoexplain_app.tabs.compare.comparison import Comparison, MatchView, Row, Side
from protoexplain_app.tabs.compare.overlap import pair_boxes

PICTURES, MODELS = "pictures", "models"
ROWS = 6


@dataclass(frozen=True)
class Query:
    """What to compare.

    Args:
        how: `PICTURES` or `MODELS`.
        other: Key of the other picture or name of the other model; empty leaves the choice to the app.
        label: Of the class whose pictures are offered; None for all.
    """

    how: str = PICTURES
    other: str = ""
    label: int | None = None


def parse_query(parameters: Parameters) -> Query:
    """From the parameters of an address."""
    how = MODELS if parameters.get("how") == MODELS else PICTURES
    return Query(how, parameters.get("other", ""), number(parameters, "of"))


def default_other_image(explainer: Explainer, image: InputImage, images: Sequence[InputImage]) -> InputImage | None:
    """The picture to compare with, where none was chosen: one of the class that comes second.

    Raises:
        UserError: The picture cannot be read.
    """
    forward_pass = run_model(explainer, image).forward_pass
    second = forward_pass.class_names[forward_pass.ranked[1]] if len(forward_pass.class_names) > 1 else None
    others = [other for other in images if other.key != image.key]
    return next((other for other in others if other.truth == second), others[0] if others else None)


def two_pictures(explainer: Explainer, left: InputImage, right: InputImage, rows: int = ROWS) -> Comparison:
    """One model on two pictures: the prototypes whose evidence differs most.

    Where the model decides for two classes, evidence counts for the left class against the right one, so that it adds
    up to the lead; otherwise for the one class, and adds up to its score.

    Raises:
        UserError: A picture cannot be read.
    """
    one, other = _ImageInModel.at(explainer, left, left.name), _ImageInModel.at(explainer, right, right.name)
    labels = list(dict.fromkeys([one.forward_pass.ranked[0], other.forward_pass.ranked[0]]))
    parts = _for_question(one.forward_pass, labels), _for_question(other.forward_pass, labels)
    difference = parts[0] - parts[1]
    order = difference.abs().argsort(descending=True, stable=True)[:rows].tolist()
    order = [p for p in order if abs(float(difference[p])) >= LEAST]
    pairs = [
        _Pair(first, second, float(parts[0][p]), float(parts[1][p]))
        for p, first, second in zip(order, one.matches(labels[0], order), other.matches(labels[0], order), strict=True)
    ]
    leads = _lead(one.forward_pass, labels), _lead(other.forward_pass, labels)
    shown = _rows(one, other, pairs)
    rest = leads[0] - leads[1] - sum(row.difference for row in shown)
    sides = one.side([pair.left for pair in pairs], leads[0]), other.side([pair.right for pair in pairs], leads[1])
    return Comparison(*sides, shown, rest, explainer.unit == "probability", one.forward_pass.evidence_kind)


def two_models(
    left: Explainer, right: Explainer, titles: tuple[str, str], image: InputImage, rows: int = ROWS
) -> Comparison:
    """Two models on one picture: the parts that both or only one of them rely on.

    Prototypes of different models have nothing in common but the place that they look at; those whose boxes overlap
    stand side by side.  Evidence is a share of all evidence for the class that each model decides for.

    Raises:
        UserError: The picture cannot be read.
    """
    one, other = _ImageInModel.at(left, image, titles[0]), _ImageInModel.at(right, image, titles[1])
    (mine, my_shares), (its, its_shares) = one.strongest(rows), other.strongest(rows)
    pairs = [
        _Pair(
            None if i is None else mine[i],
            None if j is None else its[j],
            0.0 if i is None else my_shares[i],
            0.0 if j is None else its_shares[j],
        )
        for i, j in pair_boxes([match.box for match in mine], [match.box for match in its])
    ]
    pairs.sort(key=lambda pair: -abs(pair.difference))
    left_side = one.side([pair.left for pair in pairs], float(one.forward_pass.scores.max()))
    right_side = other.side([pair.right for pair in pairs], float(other.forward_pass.scores.max()))
    return Comparison(left_side, right_side, _rows(one, other, pairs), None, True, one.forward_pass.evidence_kind)


@dataclass(frozen=True)
class _Pair:
    """What stands side by side, and its evidence on both sides."""

    left: Match | None
    right: Match | None
    left_evidence: float
    right_evidence: float

    @property
    def difference(self) -> float:
        return self.left_evidence - self.right_evidence


@dataclass(frozen=True)
class _ImageInModel:
    """A model that has looked at a picture."""

    explainer: Explainer
    image: InputImage
    title: str
    draw: ImagePictures

    @classmethod
    def at(cls, explainer: Explainer, image: InputImage, title: str) -> _ImageInModel:
        return cls(
            explainer,
            image,
            title,
            ImagePictures(explainer, run_model(explainer, image), ServedPictures(explainer.checkpoint)),
        )

    @property
    def forward_pass(self) -> ForwardPass:
        return self.draw.forward.forward_pass

    def matches(self, label: int, prototypes: Sequence[int]) -> list[Match]:
        found = matches(self.forward_pass, [label], prototypes)[0]
        return [found[prototype] for prototype in prototypes]

    def strongest(self, rows: int) -> tuple[list[Match], list[float]]:
        """The prototypes whose presence speaks most for the best class, and their shares of all that does."""
        best = self.forward_pass.ranked[0]
        presence = self.forward_pass.evidence([best]).presence[:, 0].clamp_min(0)
        order = [p for p in presence.argsort(descending=True, stable=True)[:rows].tolist() if float(presence[p]) > 0]
        shares = presence / presence.sum().clamp_min(1e-12)
        return self.matches(best, order), [float(shares[p]) for p in order]

    def match_view(self, match: Match | None, evidence: float, number: int) -> MatchView | None:
        if match is None:
            return None
        checkpoint = self.explainer.checkpoint
        return MatchView(
            match.prototype,
            checkpoint.owner_name(match.prototype),
            prototype_picture(checkpoint, match.prototype, "patch"),
            self.draw.boxed_region(match, f"Part {number} of the picture marked by a box"),
            self.draw.heat(match),
            match.similarity,
            evidence,
        )

    def side(self, marked: Sequence[Match | None], lead: float) -> Side:
        numbered = [(match, number) for number, match in enumerate(marked, 1) if match is not None]
        return Side(
            self.title,
            self.draw.whole([(match.box, str(number)) for match, number in numbered]),
            tuple(self.forward_pass.prediction(label) for label in self.forward_pass.ranked[:TOP_CLASSES]),
            self.image.known_truth(self.explainer.checkpoint),
            lead,
        )


def _rows(one: _ImageInModel, other: _ImageInModel, pairs: Sequence[_Pair]) -> tuple[Row, ...]:
    longest = max((abs(pair.difference) for pair in pairs), default=1.0) or 1.0
    return tuple(
        Row(
            number,
            one.match_view(pair.left, pair.left_evidence, number),
            other.match_view(pair.right, pair.right_evidence, number),
            pair.difference,
            abs(pair.difference) / longest,
        )
        for number, pair in enumerate(pairs, 1)
    )


def _for_question(forward_pass: ForwardPass, labels: Sequence[int]) -> torch.Tensor:
    """Evidence [P] for the first class, against the second where there is one."""
    evidence = forward_pass.evidence(labels)
    parts = evidence.presence + evidence.absence
    return parts[:, 0] - parts[:, 1] if len(labels) > 1 else parts[:, 0]


def _lead(forward_pass: ForwardPass, labels: Sequence[int]) -> float:
    scores = [float(forward_pass.scores[label]) for label in labels]
    return scores[0] - scores[1] if len(labels) > 1 else scores[0]
