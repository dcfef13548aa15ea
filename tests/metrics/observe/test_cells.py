"""The class in cells beside the object and on it: cells by a slow loop, and models that are known to leak or not."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.observed import observe, score_of
from PIL import Image
from torch import nn

from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.records import ImageRecord
from protoexplain.metrics.observe.cells import BACKGROUND, OBJECT, Cells, cells_of
from protoexplain.metrics.observe.model_description import describe_model
from protoexplain.metrics.observe.passes import Chunk
from protoexplain.metrics.scores.class_from_background import METRIC as FROM_BACKGROUND
from protoexplain.metrics.scores.class_from_background import PENALTY, UNTRAINED, fit_linear_probe, probe_hits
from protoexplain.metrics.scores.class_from_object import METRIC as FROM_OBJECT
from protoexplain.models.backbone_config import BackboneConfig
from protoexplain.models.backbones import before_training
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.contract import Ownership
from protoexplain.models.heads import LinearHead
from protoexplain.models.similarity import NegativeSquaredL2

SIZE, CELLS, CLASSES = 32, 8, 3


@given(seed=st.integers(0, 1000), height=st.integers(9, 30), width=st.integers(9, 30))
@settings(max_examples=20, deadline=None)
def test_cells_equal_a_slow_loop(seed, height, width):
    rng = np.random.default_rng(seed)
    region = np.zeros((height, width), dtype=bool)
    top, left = rng.integers(0, height), rng.integers(0, width)
    region[top : top + rng.integers(1, 12), left : left + rng.integers(1, 12)] = True
    beside, on = cells_of(region, 4, 5)
    for row in range(4):
        for column in range(5):
            ys = slice(int(row * height / 4), -int(-(row + 1) * height // 4))
            xs = slice(int(column * width / 5), -int(-(column + 1) * width // 5))
            assert bool(beside[row, column]) == (not region[ys, xs].any())
            middle = region[int((row + 0.5) * height / 4), int((column + 0.5) * width / 5)]
            assert bool(on[row, column]) == middle


def test_no_cells_of_an_unknown_object():
    assert not cells_of(None, 3, 3).any()


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_ridge_is_the_least_squares_solution(seed):
    """The same as least squares with the penalty as further rows, on inputs of variance one."""
    rng = np.random.default_rng(seed)
    vectors, labels = rng.normal(3, 2, (30, 4)), rng.integers(0, 3, 30)
    vectors[:, 3] = 7
    probe = fit_linear_probe(torch.from_numpy(vectors), torch.from_numpy(labels), 3)
    inputs = (vectors - vectors.mean(0)) / np.where(vectors.std(0) > 0, vectors.std(0), 1)
    wanted = np.eye(3)[labels]
    rows = np.vstack([inputs, np.sqrt(PENALTY * 30) * np.eye(4)])
    expected = np.linalg.lstsq(rows, np.vstack([wanted - wanted.mean(0), np.zeros((4, 3))]), rcond=None)[0]
    assert probe.weights.numpy() == pytest.approx(expected, abs=1e-9)
    best = (inputs @ expected + wanted.mean(0)).argmax(1)
    assert probe.predict(torch.from_numpy(vectors)).tolist() == best.tolist()


class Colours(nn.Module):
    """Mean colour of each cell; with a `leak` of that share of the mean colour of the whole picture."""

    def __init__(self, leak=0.0):
        super().__init__()
        self.leak = leak

    def forward(self, images):
        cells = F.avg_pool2d(images, SIZE // CELLS)
        return cells + self.leak * cells.mean((2, 3), keepdim=True)


def chunk_of(tmp_path, each, leak, seed, frozen=None):
    """Pictures of noise with a square object somewhere, whose colour is its class."""
    rng = np.random.default_rng(seed)
    images, records = torch.from_numpy(rng.uniform(0, 0.02, (CLASSES * each, 3, SIZE, SIZE)).astype(np.float32)), []
    for number in range(CLASSES * each):
        y, x = rng.integers(0, SIZE - 12, 2)
        label = number // each
        images[number, :, y : y + 12, x : x + 12] += F.one_hot(torch.tensor(label), 3)[:, None, None]
        mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
        mask[y : y + 12, x : x + 12] = 255
        path = tmp_path / f"{seed}-{number}.png"
        Image.fromarray(mask).save(path)
        records.append(ImageRecord(path.name, path.with_suffix(".jpg"), label, "test", None, None, path))
    ownership = Ownership.class_major(1, CLASSES)
    branch = Branch(nn.Identity(), torch.zeros(CLASSES, 3, 1, 1), NegativeSquaredL2(), LinearHead(ownership))
    model = PrototypeModel(Colours(leak), {"main": branch}, ownership).eval()
    description = describe_model(model, tuple("abc"), SIZE, 1)
    labels = torch.tensor([record.label for record in records])
    geometries = [Geometry(Box(0, 0, SIZE, SIZE), SIZE)] * len(records)
    return Chunk(model, description, images, labels, records, geometries, frozen=frozen)


@torch.no_grad()
@pytest.mark.parametrize(("leak", "background"), [(0.0, (0, 60)), (0.5, (95, 100))])
def test_a_leak_is_found(tmp_path, leak, background):
    """Cells that see only themselves know the class on the object alone; with the mean of the picture, everywhere."""
    look = Cells()
    training, tested = (look(chunk_of(tmp_path, each, leak, seed)) for each, seed in ((15, 1), (20, 2)))
    low, high = background
    assert low <= float(probe_hits(training, tested, "latent", BACKGROUND, CLASSES).mean()) <= high
    assert float(probe_hits(training, tested, "latent", OBJECT, CLASSES).mean()) == 100
    assert torch.equal(training["latent"], training["features"]), "the add-on is the identity"


@torch.no_grad()
def test_vectors_are_means_of_cells(tmp_path):
    chunk = chunk_of(tmp_path, 2, 0.0, 3, frozen=Colours(0.5))
    columns = Cells()(chunk)
    for image, record in enumerate(chunk.records):
        mask = np.asarray(Image.open(record.mask)) > 0
        beside, on = cells_of(mask, CELLS, CELLS)
        for kind, chosen in ((BACKGROUND, beside), (OBJECT, on)):
            for name, backbone in (("latent", chunk.model.backbone), ("frozen", chunk.frozen)):
                vectors = backbone(chunk.images[image : image + 1])[0][:, chosen]
                torch.testing.assert_close(columns[name][image, kind], vectors.mean(1))
                assert columns[f"{name} found"][image, kind]


@torch.no_grad()
def test_branches_with_latent_maps_of_two_sizes(tmp_path):
    """Vectors of all branches are joined; there is such a cell only where every branch has one."""
    chunk = chunk_of(tmp_path, 2, 0.0, 4)
    one, ownership = Cells()(chunk), Ownership.class_major(1, CLASSES)
    coarse = [nn.AvgPool2d(CELLS // 2), nn.AdaptiveAvgPool2d(1)]
    branches = {
        str(number): Branch(addon, torch.zeros(CLASSES, 3, 1, 1), NegativeSquaredL2(), LinearHead(ownership))
        for number, addon in enumerate([nn.Identity(), *coarse])
    }
    model = PrototypeModel(chunk.model.backbone, branches, ownership.repeat(3)).eval()
    columns = Cells()(replace(chunk, model=model))
    assert columns["latent"].shape == (2 * CLASSES, 2, 9)
    torch.testing.assert_close(columns["latent"][..., :3], one["latent"])
    mask = np.asarray(Image.open(chunk.records[0].mask)) > 0
    beside, _ = cells_of(mask, 2, 2)
    means = coarse[0](chunk.model.backbone(chunk.images[:1]))[0][:, beside]
    assert len(means[0])
    torch.testing.assert_close(columns["latent"][0, BACKGROUND, 3:6], means.mean(1))
    assert not columns["latent found"][:, BACKGROUND].any(), "the only cell of the third branch touches the object"
    assert columns["features found"][:, BACKGROUND].all()


def test_scores_are_over_images_with_such_a_cell():
    observed = observe((0, 0, 1, 1, 2, 2, 3))
    found = torch.ones(7, 2, dtype=torch.bool)
    found[2, BACKGROUND] = False
    observed.columns["cells"]["latent found"] = found
    vectors = torch.zeros(7, 2, 6)
    vectors[..., 0] = 10.0 * observed.labels[:, None]
    observed.columns["cells"]["latent"] = vectors
    observed.training["cells"]["latent"][..., 0] = 10.0 * observed.training["cells"]["label"][:, None]
    observed.training["cells"]["latent"][..., 1:] = 0
    score = score_of(FROM_BACKGROUND, observed)
    assert score.n_used == 6
    assert score.per_image[2] is None
    assert sum(score.excluded.values()) == 1
    assert score_of(FROM_OBJECT, observed).n_used == 7
    assert score.details["chance"] == 25
    assert 0 <= score.baselines[UNTRAINED] <= 100
    del observed.training["cells"]["frozen"]
    assert score_of(FROM_BACKGROUND, observed).baselines == {}, "weights from before the training are not at hand"


def test_a_backbone_before_training_is_had_from_a_file_only_where_it_fits(tmp_path):
    config = BackboneConfig(name="test_efficientnet", stride=16, weights="none")
    assert before_training(config) is None
    path = tmp_path / "weights.pth"
    kept = config.model_copy(update={"weights": str(path)})
    assert before_training(kept) is None
    whole = timm.create_model("test_efficientnet", num_classes=0)
    torch.save(whole.state_dict(), path)
    assert torch.equal(before_training(kept).net.conv_stem.weight, whole.conv_stem.weight)
    torch.save({"another": torch.zeros(1)}, path)
    assert before_training(kept) is None
