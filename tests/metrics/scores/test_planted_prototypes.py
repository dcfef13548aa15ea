"""Pictures with a red dot on every beak: a prototype of red is perfect, one of background colours looks anywhere."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.records import ImageRecord
from protoexplain.metrics.observe.model_description import describe_model
from protoexplain.metrics.observe.observations import Observations
from protoexplain.metrics.observe.parts import read_parts
from protoexplain.metrics.observe.passes import Chunk
from protoexplain.metrics.observe.plan import plan_passes
from protoexplain.metrics.registry import get_metric
from protoexplain.metrics.settings import MeasureSettings
from protoexplain.metrics.stats.part_hits import baseline_peaks, hit_counts, visible_counts
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.contract import Ownership
from protoexplain.models.heads import LinearHead
from protoexplain.models.similarity import NegativeSquaredL2

SIZE, CELLS, CLASSES, EACH, WINDOW = 64, 8, 3, 40, 9
SPOTS = tuple(f"spot {letter}" for letter in "abcdefgh")


class Colours(nn.Module):
    """Mean colour of each cell."""

    def forward(self, images):
        return F.avg_pool2d(images, SIZE // CELLS)


def pictures():
    """[N,3,S,S] greenish noise with a red cell on the beak, and records of the beak and of spots anywhere."""
    generator = torch.Generator().manual_seed(0)
    count = CLASSES * EACH
    cells = 0.5 * torch.rand(count, 3, CELLS, CELLS, generator=generator)
    beaks = torch.randint(1, CELLS - 1, (count, 2), generator=generator)
    spots = torch.randint(SIZE, (count, len(SPOTS), 2), generator=generator).double()
    records = []
    for number, ((row, column), places) in enumerate(zip(beaks.tolist(), spots.tolist(), strict=True)):
        cells[number, :, row, column] = torch.tensor([1.0, 0.0, 0.0])
        middle = SIZE / CELLS * (column + 0.5), SIZE / CELLS * (row + 0.5)
        parts = {"beak": middle, **dict(zip(SPOTS, map(tuple, places), strict=True))}
        records.append(ImageRecord(f"{number}.jpg", None, number // EACH, "test", None, parts))
    return F.interpolate(cells, (SIZE, SIZE)), records


@pytest.fixture(scope="module")
def observed():
    """Of prototypes 0, 2, 4 of red and 1, 3, 5 of background colours."""
    images, records = pictures()
    colours = torch.tensor([[1.0, 0, 0], [0.2, 0.3, 0.3]] * CLASSES).view(-1, 3, 1, 1)
    ownership = Ownership.class_major(2, CLASSES)
    branch = Branch(nn.Identity(), colours, NegativeSquaredL2(), LinearHead(ownership))
    model = PrototypeModel(Colours(), {"main": branch}, ownership).eval()
    description = describe_model(model, tuple("abc"), SIZE, 2)
    settings = MeasureSettings(half_window=WINDOW, draws=2, noise=0.05, resamples=200)
    geometries = [Geometry(Box(0, 0, SIZE, SIZE), SIZE)] * len(records)
    labels = torch.tensor([record.label for record in records])
    chunk = Chunk(model, description, images, labels, records, geometries)
    with torch.no_grad():
        columns = {one.name: one(chunk) for one in plan_passes({"peaks", "noisy", "pixel_noise", "views"}, settings)}
    ids, parts = tuple(record.id for record in records), read_parts(records, geometries, ("beak", *SPOTS), SIZE)
    return Observations(description, ids, labels, columns, settings, "drawn", parts)


@pytest.mark.parametrize(
    "name",
    [
        "consistency",
        "part_consistency",
        "stability",
        "stability_pixel_noise",
        "augmentation_consistency",
        "augmentation_stability",
    ],
)
def test_prototype_of_the_dot_is_perfect(name, observed):
    metric = get_metric(name)
    own = {"window_share": WINDOW / SIZE} if name == "part_consistency" else {}
    score = metric.compute(observed, metric.settings(**own))
    assert score.per_prototype[::2] == (100.0,) * CLASSES
    assert score.baselines["random peak"] < 90


def test_parts_are_named(observed):
    details = get_metric("consistency").compute(observed, get_metric("consistency").settings()).details
    assert details["part_of_prototype"][::2] == ["beak"] * CLASSES
    assert details["frequency_of_part"][::2] == [1.0] * CLASSES


def test_prototype_of_the_background_looks_anywhere(observed):
    """It hits spots that are anywhere as often as random peaks do, and is as little consistent."""

    def share_hit(peaks):
        return float(hit_counts(observed, peaks, [WINDOW])[1::2, 1:].sum() / visible_counts(observed)[1::2, 1:].sum())

    random = [share_hit(peaks) for (peaks,) in baseline_peaks(observed)["random peak"]]
    assert share_hit(observed.peaks) == pytest.approx(sum(random) / len(random), abs=0.03)
    for name, own in (("consistency", {}), ("part_consistency", {"window_share": WINDOW / SIZE})):
        score = get_metric(name).compute(observed, get_metric(name).settings(**own))
        assert score.per_prototype[1::2] == (score.baselines["random peak"],) * CLASSES == (0.0,) * CLASSES
