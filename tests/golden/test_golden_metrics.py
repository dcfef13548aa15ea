"""Consistency and stability of EvalProtoPNet; heat maps, deletion and localisation of ST-ProtoPNet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_vectors import Vectors, close, st_protopnet
from torch import nn

from protoexplain.data.augmentation import resized
from protoexplain.explanations.network_input import as_picture
from protoexplain.metrics.observe.localisation import LEVELS, localisation, stretched
from protoexplain.metrics.observe.masking import area, heat_ranks, masked_scores
from protoexplain.metrics.observe.model_description import ModelDescription, describe_model
from protoexplain.metrics.observe.noise import RANKS, medians
from protoexplain.metrics.observe.observations import NO_IMAGES, Observations
from protoexplain.metrics.observe.parts import Parts, input_pixels, part_distances
from protoexplain.metrics.observe.passes import own_maps, probabilities
from protoexplain.metrics.observe.peaks import peaks
from protoexplain.metrics.scores.consistency import METRIC as CONSISTENCY
from protoexplain.metrics.scores.consistency import part_frequency
from protoexplain.metrics.scores.stability import METRIC as STABILITY
from protoexplain.metrics.settings import MeasureSettings
from protoexplain.metrics.stats.part_hits import reaches, visible_counts
from protoexplain.models.contract import Ownership
from protoexplain.regions.boxes import upsample

pytestmark = pytest.mark.golden
HALF = LEVELS.index(0.5)


# ---------------------------------------------------------------------- EvalProtoPNet


def own_channels(v: Vectors, which: str) -> torch.Tensor:
    """[N,K,h,w] of the prototypes of each image's class."""
    per_class, targets = int(v["num_prototypes_per_class"]), v.tensor("targets")
    channels = targets[:, None] * per_class + torch.arange(per_class)
    maps = v.tensor(f"activations_{which}")
    return maps[torch.arange(len(maps))[:, None], channels]


def parts_of(v: Vectors) -> Parts:
    count = int(v["num_parts"])
    rows = v["part_locs"].reshape(len(v["image_ids"]), count, 5)
    assert (rows[:, 0, 0] == v["image_ids"]).all()
    x, y, width, height = np.trunc(v["bboxes_xywh"]).T
    crops = torch.from_numpy(np.stack([x, y, x + width, y + height], 1))
    source = torch.from_numpy(rows[:, :, 2:4].copy())
    visible = torch.from_numpy(rows[:, :, 4] > 0)
    size = int(v["img_size"])
    return Parts(tuple(map(str, range(count))), input_pixels(source, crops, size), visible, source, crops, size)


def observations_of(v: Vectors, half_window: int) -> Observations:
    """What would have been seen of the stub model; class 5 has no image."""
    per_class, classes, size = int(v["num_prototypes_per_class"]), int(v["num_classes"]), int(v["img_size"])
    owner = torch.arange(classes).repeat_interleave(per_class)
    weights = torch.zeros(classes, len(owner))
    description = ModelDescription(
        classes=tuple(map(str, range(classes))),
        ownership=Ownership.class_major(per_class, classes),
        assigned=torch.arange(len(owner)).view(classes, per_class),
        branch=torch.zeros_like(owner),
        class_weights=weights,
        presence_weights=weights,
        map_sizes=torch.tensor(v["activations_clean"].shape[2:]).expand(len(owner), 2),
        size=size,
        shared_per_class=10,
    )
    observed = {
        name: {"peaks": peaks(own_channels(v, which), size)}
        for name, which in (("peaks", "clean"), ("noisy/0", "noisy"))
    }
    ids = tuple(map(str, v["image_ids"].tolist()))
    settings = MeasureSettings(half_window=half_window, resamples=100)
    return Observations(description, ids, v.tensor("targets"), observed, settings, "golden", parts_of(v))


@pytest.fixture(params=["eval_metrics_map7", "eval_metrics_map14"])
def v(request, golden):
    return golden(request.param)


def test_peaks_and_part_pixels(v):
    for which in ("clean", "noisy"):
        found = peaks(own_channels(v, which), int(v["img_size"]))
        assert torch.equal(found, v.tensor(f"peaks_{which}_yx"))
    parts = parts_of(v)
    assert torch.equal(parts.visible, v.tensor("part_visible") > 0)
    expected = v.tensor("part_pixels_xy")[parts.visible]
    assert torch.equal(parts.pixels[parts.visible], expected)


@pytest.mark.parametrize("half", [36, 16])
def test_hits_and_consistency(v, half):
    observed = observations_of(v, half)
    for which, name in (("clean", "peaks"), ("noisy", "noisy/0")):
        hit = part_distances(observed.columns[name]["peaks"], observed.parts) <= half
        assert torch.equal(hit, v.tensor(f"part_hits_{which}_hs{half}") > 0)
    hit = observed.by_prototype((part_distances(observed.peaks, observed.parts) <= half).long())
    measured = len(v[f"part_frequency_hs{half}"])
    close(part_frequency(hit, visible_counts(observed))[:measured], v[f"part_frequency_hs{half}"], atol=1e-12)
    for threshold in (0.8, 0.5, 1.0):
        flags = v.tensor(f"consistent_flags_hs{half}_th{threshold}")
        assert torch.equal(reaches(hit, visible_counts(observed), threshold)[:measured], flags)
        result = CONSISTENCY.measure("consistency", observed, CONSISTENCY.settings(threshold=threshold))
        close(torch.tensor(result.score.value), v[f"consistency_hs{half}_th{threshold}"], atol=1e-5)
        assert result.score.value == pytest.approx(float(v[f"consistency_hs{half}_th{threshold}"]), abs=1e-9)
        assert result.score.excluded == {NO_IMAGES: int(v["num_prototypes_per_class"])}
        assert result.score.per_prototype[:measured] == tuple(100.0 * flags.double().numpy())
        assert set(result.score.per_prototype[measured:]) == {None}


@pytest.mark.parametrize("half", [36, 16])
def test_stability(v, half):
    score = STABILITY.measure("stability", observations_of(v, half), STABILITY.settings()).score
    assert score.value == pytest.approx(float(v[f"stability_hs{half}"]), abs=1e-4)
    expected = v[f"stability_per_prototype_hs{half}"]
    close(torch.tensor(score.per_prototype[: len(expected)]) / 100, expected, atol=1e-6)


def test_noise(v):
    """Published noise of each pixel -> its rank among normal numbers -> our noise of that rank."""
    clean = v.tensor("noise_input")
    normal = torch.randn(clean.shape, generator=torch.Generator().manual_seed(int(v["noise_seed"])))
    ranks = (torch.special.ndtr(normal.double()) * RANKS).long()
    close(clean + torch.from_numpy(medians(0.2, 0.25))[ranks], v["noise_output"], atol=1e-4)


# ---------------------------------------------------------------------- ST-ProtoPNet


def test_localisation_of_maps(golden):
    v = golden("st_metrics_maps")
    constant = 3
    for number, (heat, mask) in enumerate(zip(v.tensor("maps"), v.tensor("masks"), strict=True)):
        content, ratio, iou = localisation(heat[None], mask > 0)
        if number == constant:
            assert torch.isnan(content), "nothing to stretch"
            continue
        close(content[0], v["content_heatmap"][number], atol=1e-5)
        close(ratio[0], v["oirr"][number], atol=1e-5)
        close(iou[0, HALF], v["iou"][number], atol=1e-5)


def test_area_under_scores(golden):
    v = golden("st_metrics_maps")
    close(area(v.tensor("auc_sequences")), v["auc_values"], atol=1e-12)


class Coarse(nn.Module):
    """The backbone of the vectors: one convolution that is constant within its kernel, on normalised pictures."""

    def __init__(self, v: Vectors) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
        stride = int(v["conv_stride"])
        weight = v.tensor("conv_w_const")[:, :, None, None].expand(-1, -1, stride, stride)
        self.conv = nn.Conv2d(3, len(weight), stride, stride)
        self.conv.weight.data, self.conv.bias.data = weight.clone(), v.tensor("conv_b")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv((images - self.mean) / self.std)


@torch.no_grad()
def test_whole_script(golden):
    v = golden("st_metrics_model")
    prototypes = {name: v.tensor(f"prototypes_{name}") for name in ("trivial", "support")}
    model = st_protopnet(v, "full", prototypes).eval()
    model.backbone = Coarse(v)
    labels, per_class = v.tensor("labels"), int(v["num_prototypes_per_class"])
    description = describe_model(model, tuple(map(str, range(int(v["num_classes"])))), 224, 10)
    for number in range(int(v["num_images"])):
        rgb, label = v[f"image{number}_uint8"], labels[number : number + 1]
        picture = as_picture(resized(rgb, 224).rgb)[None]
        output = model(picture)
        (own,) = own_maps(model, description, model.backbone(picture), label, activated=True)
        maps = own.maps[0]
        close(maps[:per_class].mean(0), v[f"mean_map_trivial{number}"], atol=1e-5)
        close(maps[per_class:].mean(0), v[f"mean_map_support{number}"], atol=1e-5)
        heat = torch.einsum("k,khw->hw", description.heat_weights()[label[0]].float(), maps)[None]
        close(heat[0], v[f"mean_map{number}"], atol=1e-5)
        close(stretched(upsample(heat[0], *rgb.shape[:2]))[::7, ::7], v[f"heatmap{number}_probe"], atol=2e-5)
        content, ratio, iou = localisation(heat, v.tensor(f"mask{number}") > 0)
        close(content[0], v["content_heatmap"][number], atol=1e-5)
        close(ratio[0], v["oirr"][number], atol=1e-5)
        close(iou[0, HALF], v["iou"][number], atol=1e-3)
        whole = probabilities(model, output)
        scores = masked_scores(model, picture, whole, heat_ranks(heat, 224), 28, "deletion")
        close(scores[0], v[f"deletion_scores{number}"], atol=2e-3)
        close(area(scores.double())[0], v["dauc"][number], atol=2e-4)
