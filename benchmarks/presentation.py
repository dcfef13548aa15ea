"""What a reader of an explanation gets to see: how large the boxes are, and how much of the score the rows carry.

    python -m benchmarks.presentation DATA CHECKPOINT ...

explains the predicted class of every test image with five rows, as the sheets and the app do.  Medians over images
(boxes: over rows), for both rules of boxes and both ways to count evidence, side by side.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean, median

import torch

from protoexplain.data.dataset_view import matching_view
from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.loading import ImageDataset
from protoexplain.explanations.evidence.contrast import contrast
from protoexplain.explanations.evidence.counting import PRODUCT, SHAPLEY
from protoexplain.explanations.evidence.local import explain_forward_pass
from protoexplain.explanations.explainer import Explainer
from protoexplain.explanations.forward_pass import ForwardPass, run_forward
from protoexplain.metrics.scores.compactness import rows_to_carry
from protoexplain.regions.box_rules import DEFAULT, PUBLISHED

ROWS, HALF, CARRIED = 5, 0.5, 0.9
Figures = Mapping[str, float]


def forward_passes(explainer: Explainer, dataset: ImageDataset) -> Iterator[ForwardPass]:
    """What the model makes of each image."""
    geometry = Geometry.of((dataset.size, dataset.size), None, dataset.size)
    for number in range(len(dataset)):
        pictures, _, _ = dataset[number]
        yield run_forward(explainer.model, pictures[0], geometry, explainer.checkpoint.classes)


def boxes(forward_pass: ForwardPass) -> dict[str, list[float]]:
    """Rule -> the share of what the model saw that the box of each row covers."""
    covered = {}
    for rule in (DEFAULT, PUBLISHED):
        (shown,) = explain_forward_pass(forward_pass, top_classes=1, rows=ROWS, box_rule=rule).classes
        whole = forward_pass.geometry.crop.area
        covered[str(rule)] = [Box(*match.box).area / whole for match in shown.found]
    return covered


def evidence(forward_pass: ForwardPass) -> Figures:
    """Of the predicted class, and of its lead over the runner-up."""
    (shown,) = explain_forward_pass(forward_pass, top_classes=1, rows=ROWS).classes
    (every,) = explain_forward_pass(forward_pass, top_classes=1, rows=len(forward_pass.activations)).classes
    told = sum(match.presence for match in shown.found) + sum(match.absence for match in shown.missing)
    in_rows, in_all = (
        sum(abs(match.presence) for match in one.found) + sum(abs(match.absence) for match in one.missing)
        for one in (shown, every)
    )
    return {
        "|rest| / |score|": abs(shown.score - told) / abs(shown.score),
        "share of evidence in rows": in_rows / in_all,
        "rows for 90 % of the lead": rows_for_the_lead(forward_pass),
    }


def rows_for_the_lead(forward_pass: ForwardPass) -> float:
    """Prototypes, in the order in which they are shown, that carry 90 % of the lead over the runner-up."""
    found = contrast(forward_pass, rows=len(forward_pass.activations))
    differences = torch.tensor([[separation.difference for separation in found.separations]])
    return float(rows_to_carry(differences, torch.tensor([found.difference]), CARRIED))


def measured(checkpoint: Path, data: Path) -> dict[str, dict[str, Figures]]:
    """All figures of a checkpoint on the test images of a data set."""
    areas: dict[str, list[float]] = defaultdict(list)
    told: dict[str, list[Figures]] = defaultdict(list)
    for kind in (SHAPLEY, PRODUCT):
        explainer = Explainer(checkpoint, evidence=kind)
        view = matching_view(explainer.checkpoint, data)
        for forward_pass in forward_passes(explainer, view.dataset(view.test, explainer.checkpoint.config.data)):
            told[forward_pass.evidence_kind].append(evidence(forward_pass))
            if kind == SHAPLEY:
                for rule, covered in boxes(forward_pass).items():
                    areas[rule] += covered
        if explainer.model.evidence_kind != kind:
            break
    return {
        "boxes": {
            rule: {"median area": median(some), "above half": mean(area > HALF for area in some)}
            for rule, some in areas.items()
        },
        "evidence": {
            kind: {name: median(row[name] for row in rows) for name in rows[0]} for kind, rows in told.items()
        },
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="data set with test images")
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    found = {str(path): measured(path, asked.data) for path in asked.checkpoints}
    if asked.json:
        print(json.dumps(found, indent=1))
        return
    for path, parts in found.items():
        print(path)
        for title, table in parts.items():
            for name, figures in table.items():
                print(f"  {title:9}{name:14}", *(f"{label}: {value:6.3f}  " for label, value in figures.items()))


if __name__ == "__main__":
    main()
