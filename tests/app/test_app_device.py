"""The app on an accelerator: the same answers as on the CPU."""

from __future__ import annotations

import pytest
from pretended_device import DEVICE, pretended_device

from protoexplain.errors import UserError
from protoexplain_app.image_predictions import PredictTestImages
from protoexplain_app.jobs import Job, Requests, RunningJob
from protoexplain_app.models import ModelStore
from protoexplain_app.server import create_app
from protoexplain_app.tabs.compare.actions import two_models, two_pictures
from protoexplain_app.tabs.explain.actions import explain_image
from protoexplain_app.tabs.prototypes.actions import Query, gallery
from protoexplain_app.tabs.prototypes.details import prototype_details
from protoexplain_app.tabs.prototypes.nearest import NearestPatchSearch


def explainers(folder, name):
    """On the CPU, and on the accelerator."""
    for device in ("cpu", str(DEVICE)):
        store = ModelStore(folder, device=device)
        store.scan()
        yield store.explainer(name)


@pytest.mark.parametrize("name", ["a-protopnet", "b-cbc"])
def test_answers_are_those_of_the_cpu(name, folder, examples):
    with pretended_device():
        here, there = explainers(folder, name)
        assert there.device == there.model.ownership.labels.device == DEVICE
        first, second, *_ = examples.of(there.checkpoint)
        cases = [explain_image(explainer, first) for explainer in (here, there)]
        for mine, other in zip(*(case.predictions for case in cases), strict=True):
            assert (mine.label, mine.score) == (other.label, pytest.approx(other.score, rel=1e-3, abs=1e-4))
        guesses = [PredictTestImages().run(examples, one, RunningJob(Job(), Requests())) for one in (here, there)]
        assert {key: guess.label for key, guess in guesses[0].items()} == {
            key: guess.label for key, guess in guesses[1].items()
        }
        nearest = [NearestPatchSearch().run(examples, one, RunningJob(Job(), Requests())) for one in (here, there)]
        for mine, other in zip(*nearest, strict=True):
            assert [n.image for n in mine["test"].nearest] == [n.image for n in other["test"].nearest]
        assert len(gallery(there, Query(sort="weight")).tiles) == len(gallery(here, Query(sort="weight")).tiles) > 0
        assert prototype_details(there, 0).weights_for == prototype_details(here, 0).weights_for
        assert two_pictures(there, first, second).rows
        assert two_models(here, there, ("CPU", "accelerator"), first).rows


def test_an_absent_device_is_told(folder, monkeypatch):
    monkeypatch.setattr("protoexplain.devices.available_kinds", lambda: ("cpu",))
    with pytest.raises(UserError, match="no device 'cuda'"):
        create_app(folder, device="cuda")
