"""An attack outside the box finds out models that look elsewhere, and none that do not."""

from pathlib import Path

import pytest
import torch
from torch import nn

from protoexplain.data.geometry import Box, Geometry
from protoexplain.data.records import ImageRecord
from protoexplain.metrics.observe.attack import Misaligned, outside_boxes
from protoexplain.metrics.observe.model_description import describe_model
from protoexplain.metrics.observe.passes import Chunk
from protoexplain.metrics.settings import AttackSettings
from protoexplain.metrics.stats.misalignment import activation_change
from protoexplain.metrics.stats.misalignment_scores import of_target
from protoexplain.models.base import Branch, PrototypeModel
from protoexplain.models.contract import Ownership
from protoexplain.models.heads import LinearHead
from protoexplain.models.similarity import DotProduct

SIZE = 32


class Bright(nn.Module):
    """Pictures -> their colours in cells of 4 x 4 pixels and a margin, and some of the mean of the whole picture."""

    channels = 3

    def __init__(self, leak, margin=0):
        super().__init__()
        self.leak, self.margin = leak, margin

    def forward(self, images):
        cells = nn.functional.avg_pool2d(images, 4 + 2 * self.margin, 4, self.margin)
        return cells + self.leak * images.mean((2, 3), keepdim=True)


def chunk_of(leak, count=3, margin=0):
    """Pictures of noise with a bright square of one colour; the prototypes are the colours."""
    generator = torch.Generator().manual_seed(0)
    images, labels = 0.4 * torch.rand(count, 3, SIZE, SIZE, generator=generator), torch.arange(count) % 3
    for number, label in enumerate(labels.tolist()):
        images[number, label, 12:20, 12:20] = 1
    ownership = Ownership.class_major(1, 3)
    branch = Branch(nn.Identity(), torch.eye(3).view(3, 3, 1, 1), DotProduct(), LinearHead(ownership))
    model = PrototypeModel(Bright(leak, margin), {"main": branch}, ownership).eval()
    records = [ImageRecord(f"{number}.png", Path(), label, "test") for number, label in enumerate(labels.tolist())]
    described = describe_model(model, ("red", "green", "blue"), SIZE, 3)
    return Chunk(model, described, images, labels, records, [Geometry(Box(0, 0, SIZE, SIZE), SIZE)] * count)


@torch.no_grad()
def attack(chunk, **settings):
    return Misaligned(AttackSettings(**{"margin": 14, **settings}), "share:0.9", 0)(chunk)


def fall(columns):
    return activation_change(of_target(columns, "before"), of_target(columns, "after"))


@pytest.mark.parametrize("kind", ["pgd", "uniform"])
def test_model_that_looks_into_its_box_alone_does_not_fall(kind):
    columns = attack(chunk_of(0.0), kind=kind)
    assert columns["target"].tolist() == [0, 1, 2]
    assert fall(columns).abs().max() < 1e-4
    assert 0 < columns["free"].min() <= columns["free"].max() < 1


def test_leak_is_found_by_descent_and_hardly_by_noise():
    found, noise = attack(chunk_of(1.0)), attack(chunk_of(1.0), kind="uniform")
    assert fall(found).min() > 10 > 5 * fall(noise).abs().max()


def test_images_of_a_batch_are_attacked_alone():
    """Each has its own start, whatever else is in the batch."""
    together, chunk = attack(chunk_of(1.0)), chunk_of(1.0)
    for row in range(3):
        some = slice(row, row + 1)
        alone = attack(
            Chunk(
                chunk.model, chunk.description, chunk.images[some], chunk.labels[some], chunk.records[some],
                chunk.geometries[some],
            )
        )  # fmt: skip
        for name, column in together.items():
            torch.testing.assert_close(alone[name], column[some], atol=1e-4, rtol=1e-4)


def test_change_stays_within_limit_and_outside():
    chunk, one = chunk_of(1.0), Misaligned(AttackSettings(steps=60), "cell", 0)
    attacked = torch.eye(3).bool()
    free = outside_boxes([Box(12, 12, 20, 20)], 0, SIZE).expand(3, -1, -1)
    with torch.no_grad():
        change = one.changed(chunk.model, chunk.images, attacked, free, torch.zeros_like(chunk.images)) - chunk.images
    assert float(change.abs().amax()) == pytest.approx(0.4, abs=1e-6)
    assert float(change[:, :, 12:20, 12:20].abs().amax()) == 0


def test_each_step_is_told():
    chunk, told = chunk_of(1.0), []
    chunk.tell = told.append
    attack(chunk, steps=4)
    assert told == [0.25, 0.5, 0.75, 1]


def test_box_that_is_too_small_is_found_out():
    """The prototype looks at 8 x 8 pixels, and the box holds the 4 x 4 in their middle."""
    chunk = chunk_of(0.0, margin=2)

    def found(rule):
        with torch.no_grad():
            return fall(Misaligned(AttackSettings(margin=0), rule, 0)(chunk))

    assert found("receptive-field").abs().max() < 1e-4
    assert found("cell").min() > 10


def test_boxes_are_united_and_widened():
    free = outside_boxes([Box(0, 0, 4, 4), Box(28, 28, 32, 32)], 2, SIZE)
    assert (~free).sum() == 36 + 36
    assert bool(outside_boxes([Box(28, 28, 32, 32)], 2, SIZE, published=True)[31, 31])


def test_all_prototypes_of_the_class_can_be_attacked():
    columns = attack(chunk_of(1.0), target="own")
    assert columns["target"].tolist() == [0, 1, 2]
