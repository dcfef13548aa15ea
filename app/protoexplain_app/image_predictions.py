"""What a model says about each test picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, TypeAdapter

from protoexplain.checkpoint.checkpoint import Checkpoint
from protoexplain.data.loading import ImageDataset
from protoexplain.errors import UserError
from protoexplain.explanations.explainer import Explainer
from protoexplain_app.dataset_jobs import DatasetJobs
from protoexplain_app.examples import Examples
from protoexplain_app.jobs import Job, RunningJob

BATCH = 8
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class ImagePrediction:
    """What a model says about one picture.

    Args:
        label: The best class.
        probability: Of it.
        second: Probability of the second best class.
        truth: Class that the data set gives it.
    """

    label: Annotated[int, Field(ge=0)]
    probability: Share
    second: Share
    truth: Annotated[int, Field(ge=0)]

    @property
    def right(self) -> bool:
        return self.label == self.truth

    @property
    def lead(self) -> float:
        """Of the best class over the second."""
        return self.probability - self.second


ImagePredictions = Mapping[str, ImagePrediction]
"""Key of a picture -> what the model says about it."""
PredictionJob = Job[ImagePredictions]
PredictionJobs = DatasetJobs[ImagePredictions]


class PredictTestImages:
    """What does the model say about each test picture?  Unreadable ones are left out."""

    name = "surveys"
    adapter: TypeAdapter[ImagePredictions] = TypeAdapter(dict[str, ImagePrediction])

    def pictures(self, examples: Examples, checkpoint: Checkpoint) -> int:
        return len(_dataset(examples, checkpoint))

    def run(self, examples: Examples, explainer: Explainer, job: RunningJob[ImagePredictions]) -> ImagePredictions:
        dataset, found = _dataset(examples, explainer.checkpoint), dict[str, ImagePrediction]()
        for start in range(0, len(dataset), BATCH):
            places = range(start, min(start + BATCH, len(dataset)))
            found |= _predictions(explainer, dataset, places)
            job.show(dict(found))
            job.progress("looking at the test pictures", places.stop, len(dataset))
        return found

    def valid(self, checkpoint: Checkpoint, result: ImagePredictions) -> bool:
        classes = len(checkpoint.classes)
        return all(one.label < classes and one.truth < classes for one in result.values())


def _dataset(examples: Examples, checkpoint: Checkpoint) -> ImageDataset:
    view = examples.matching_view(checkpoint)
    keys = {image.key for image in examples.of(checkpoint)}
    records = [record for record in view.image_set.records if record.id in keys]
    return ImageDataset(records, view.crop, checkpoint.config.data.image_size)


@torch.inference_mode()
def _predictions(explainer: Explainer, dataset: ImageDataset, places: range) -> dict[str, ImagePrediction]:
    found = []
    for place in places:
        try:
            found.append((place, dataset.pixels(place)[0]))
        except UserError:
            continue
    if not found:
        return {}
    pictures = torch.stack([pixels for _, pixels in found]).to(explainer.device).float().div_(255)
    probabilities = explainer.model.probabilities(explainer.model(pictures).logits)
    best = probabilities.topk(min(2, probabilities.shape[1]))
    rows = zip(found, best.indices.tolist(), best.values.clamp(0, 1).tolist(), strict=True)
    return {
        dataset.records[place].id: ImagePrediction(labels[0], values[0], values[-1], dataset.records[place].label)
        for (place, _), labels, values in rows
    }
