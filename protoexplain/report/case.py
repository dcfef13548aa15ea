"""One picture explained for a report: the drawings and sentences of `explain`, for its best class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from protoexplain.checkpoint.prototypes import Edges
from protoexplain.data.geometry import Box
from protoexplain.explain.evidence.local import ClassExplanation
from protoexplain.explain.evidence.match import Match, Statement
from protoexplain.explain.evidence.occlusion_test import Honesty
from protoexplain.explain.explainer import ExplainedImage, Explainer, Seen
from protoexplain.explain.overlays import match_heat
from protoexplain.report.pictures import Picture, cut_out, drawn, region_of
from protoexplain.report.report import ImageCase, Row, Rows, Sum
from protoexplain.report.shelves import PrototypePictures
from protoexplain.report.wording import about_blanking
from protoexplain.view.sentences import LEAST, about_decision

ROWS, CLASSES, ABSENT = 5, 5, 3
_WHOLE_SIDE, _PART_SIDE = 640, 220
Said = tuple[str, float, Statement]


def image_case(explainer: Explainer, seen: Seen, truth: str | None, pictures: PrototypePictures) -> ImageCase:
    """Explain a picture.

    Args:
        explainer: The model.
        seen: The picture.
        truth: Its class by the data set, None where unknown.
        pictures: Of the prototypes.

    Raises:
        UserError: A picture of a prototype cannot be read.
    """
    result = explainer.explain(seen, top_classes=1, rows=ROWS)
    explanation, shown = result.explanation, result.explanation.classes[0]
    contrast = explainer.contrast(seen) if len(explainer.checkpoint.classes) > 1 else None
    sentences = about_decision(contrast, explainer.what_would_change(seen), explanation.unit)
    said = list(_said(shown))
    found = [statement for _, _, statement in said if isinstance(statement, Match)]
    draw = _Drawing(explainer, result, pictures, explainer.honesty(seen, found))
    longest = max((abs(value) for _, value, _ in said), default=1.0)
    rows = [(kind, draw.row(i, value, value / longest, one)) for i, (kind, value, one) in enumerate(said, 1)]
    return ImageCase(
        name=explanation.image,
        truth=truth,
        picture=draw.whole([(i, one) for i, (_, _, one) in enumerate(said, 1) if isinstance(one, Match)]),
        predictions=explanation.predictions[:CLASSES],
        lists=tuple(
            Rows(kind, tuple(row for other, row in rows if other == kind)) for kind in dict.fromkeys(k for k, _ in rows)
        ),
        total=_sum(shown, said),
        by_probability=explainer.unit == "probability",
        sentences=() if seen.reading.abstains else tuple(sentences),
        notices=explanation.notices,
        explanation=explanation,
    )


def _said(shown: ClassExplanation) -> Iterator[Said]:
    """(kind, value, statement) of all that gets a row, list by list."""
    yield from (("for", match.presence, match) for match in shown.found if match.presence >= LEAST)
    yield from (("missing", one.absence, one) for one in shown.missing[:ABSENT] if one.absence >= LEAST)
    yield from (("against", match.presence, match) for match in shown.found if match.presence <= -LEAST)
    yield from (("unwanted", -(m.unwanted or 0), m) for m in shown.unwanted[:ABSENT] if (m.unwanted or 0) >= LEAST)
    yield from (("lacking", -(one.lacking or 0), one) for one in shown.lacking[:ABSENT] if (one.lacking or 0) >= LEAST)


def _sum(shown: ClassExplanation, said: Sequence[Said]) -> Sum:
    found = sum(value for kind, value, _ in said if kind in ("for", "against"))
    missing = sum(value for kind, value, _ in said if kind == "missing")
    return Sum(found, missing, shown.total() - found - missing - shown.bias, shown.bias, shown.score)


@dataclass(frozen=True)
class _Drawing:
    """Draws one explained picture."""

    explainer: Explainer
    result: ExplainedImage
    pictures: PrototypePictures
    tried: Mapping[int, Honesty]

    def whole(self, numbered: Sequence[tuple[int, Match]]) -> Picture:
        """The picture with numbered boxes; where the model saw a part of it, that region comes first, unnumbered.

        Prototypes that were found at one place share its box.
        """
        rgb, crop = self.result.rgb, self.result.explanation.geometry.crop
        frame = Box(0, 0, rgb.shape[1], rgb.shape[0])
        seen = [] if crop == frame else [region_of(crop.as_list(), frame)]
        places: dict[Edges, list[str]] = {}
        for number, match in numbered:
            places.setdefault(match.box, []).append(str(number))
        boxes = [region_of(box, frame, ", ".join(numbers)) for box, numbers in places.items()]
        return drawn(rgb, _WHOLE_SIDE, f"The picture {self.result.explanation.image}", *seen, *boxes)

    def row(self, number: int, evidence: float, share: float, statement: Statement) -> Row:
        """A prototype that was found, or one that is missing."""
        record = self.explainer.record(statement.prototype)
        found = statement if isinstance(statement, Match) else None
        tried = self.tried.get(statement.prototype) if found else None
        warnings = tuple(f"Be careful: {warning}." for warning in tried.warnings) if tried else ()
        return Row(
            number=number,
            prototype=statement.prototype,
            owner=self.explainer.checkpoint.owner_name(record.index),
            similarity=statement.similarity,
            usual=statement.usual,
            evidence=evidence,
            share=abs(share),
            part=self._part(found) if found else None,
            heat=self._heat(found) if found else None,
            patch=self.pictures.patch(statement.prototype),
            source=self.pictures.source(statement.prototype),
            notes=(*([about_blanking(tried)] if tried else []), *warnings),
            careful=bool(warnings),
        )

    def _part(self, match: Match) -> Picture:
        return drawn(cut_out(self.result.rgb, match.box), _PART_SIDE, "The part of the picture")

    def _heat(self, match: Match) -> Picture:
        """The heat map over what the model saw, with the part's box."""
        explanation = self.result.explanation
        box = region_of(match.box, explanation.geometry.crop)
        alt = f"Heat map: where the picture looks like prototype {match.prototype}"
        return drawn(match_heat(explanation, match, self.result.rgb), _PART_SIDE, alt, box)
