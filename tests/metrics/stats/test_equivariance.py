"""Views of known geometry: pictures and peaks agree, and scores are those of a slow loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from metrics.observed import SIZE, observe, score_of
from scipy.stats import spearmanr

from protoexplain.data.warps import Frame, sample
from protoexplain.metrics.observe.views import VIEWS, in_image, in_view, warped
from protoexplain.metrics.scores.augmentation_consistency import METRIC as CONSISTENCY
from protoexplain.metrics.scores.augmentation_stability import METRIC as STABILITY
from protoexplain.metrics.stats.equivariance import NO_VIEW, agreement

LABELS = (0, 0, 0, 1, 1, 2, 2, 3)


def warps_of(view, count):
    return torch.from_numpy(np.stack([VIEWS[view](SIZE, np.random.default_rng(i)) for i in range(count)]))


@pytest.mark.parametrize("view", VIEWS)
def test_pictures_are_warped_as_elsewhere(view):
    """The same picture as the augmentation's sampler makes, but for its 5 bits of interpolation weights."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((2, 3, 8, 8), dtype=np.float32))
    images = torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic").clamp(0, 1)
    warps = warps_of(view, 2)
    for image, warp, found in zip(images, warps, warped(images, warps), strict=True):
        rgb = (image * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
        expected = torch.from_numpy(sample(Frame(rgb, SIZE, SIZE), warp.numpy(), SIZE)).permute(2, 0, 1) / 255
        assert float((found - expected).abs().max()) < 0.04


def test_flip_is_exact():
    images = torch.rand(2, 3, SIZE, SIZE)
    torch.testing.assert_close(warped(images, warps_of("flip", 2)), images.flip(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("view", VIEWS)
def test_a_spot_is_found_where_the_warp_says(view):
    images = torch.zeros(6, 3, SIZE, SIZE)
    spots = torch.tensor([[20, 30], [40, 25], [32, 32], [28, 44], [35, 20], [25, 25]])
    for image, (y, x) in zip(images, spots.tolist(), strict=True):
        image[:, y - 1 : y + 2, x - 1 : x + 2] = 1
    warps = warps_of(view, 6)
    views = warped(images, warps).mean(1)
    peaks = torch.stack([torch.tensor(divmod(int(v.argmax()), SIZE)) for v in views])
    back = in_image(peaks[None, :, None], warps[None])[0, :, 0]
    assert float((back - (spots.flip(1) + 0.5)).abs().max()) <= 2.5
    there = in_view(back[None, :, None], warps[None])[0, :, 0]
    torch.testing.assert_close(there, peaks.flip(1).double() + 0.5)


def peaks_that_follow(observed, stray=None):
    """The same data with peaks that follow the content exactly; `stray` picks (view, image, slot) that do not."""
    columns = dict(observed.columns)
    inner = 20 + observed.peaks % 24
    columns["peaks"] = {"peaks": inner}
    points = inner.flip(2).double()[None] + 0.5
    for number, view in enumerate(VIEWS):
        warp = observed.columns[f"views/{view}"]["warp"]
        peaks = in_view(points, warp[None])[0].flip(2).floor().long()
        if stray is not None:
            peaks = torch.where(stray[number, :, :, None], (peaks + SIZE // 2) % SIZE, peaks)
        columns[f"views/{view}"] = {"peaks": peaks, "warp": warp}
    return replace(observed, columns=columns)


def test_peaks_that_follow_are_perfect():
    observed = peaks_that_follow(observe(LABELS, half_window=3))
    for metric in (STABILITY, CONSISTENCY):
        score = score_of(metric, observed)
        assert score.value == 100
        assert score.baselines["peak that stays"] < 80
        assert score.baselines["random peak"] < 10


def slow_stability(observed, half_window):
    """Per prototype: views whose peak, brought into the image, is near the image's peak, of views that show it."""
    hit, shown = np.zeros(observed.description.num_prototypes), np.zeros(observed.description.num_prototypes)
    for image in range(len(observed.ids)):
        for slot, prototype in enumerate(observed.description.assigned[observed.labels[image]].tolist()):
            y, x = observed.peaks[image, slot].tolist()
            for view in VIEWS:
                warp = observed.columns[f"views/{view}"]["warp"][image].numpy()
                across, down, _ = np.linalg.inv(warp) @ [x + 0.5, y + 0.5, 1]
                if not (0 <= across < SIZE and 0 <= down < SIZE):
                    continue
                v, u = observed.columns[f"views/{view}"]["peaks"][image, slot].tolist()
                back = warp @ [u + 0.5, v + 0.5, 1]
                shown[prototype] += 1
                hit[prototype] += max(abs(back[0] - x - 0.5), abs(back[1] - y - 0.5)) <= half_window
    return 100 * hit / shown


def test_stability_equals_a_slow_loop():
    stray = torch.rand(len(VIEWS), len(LABELS), 3, generator=torch.Generator().manual_seed(2)) < 0.3
    for observed in (observe(LABELS, seed=3, half_window=20), peaks_that_follow(observe(LABELS, half_window=3), stray)):
        expected = slow_stability(observed, observed.half_window)
        assert score_of(STABILITY, observed).per_prototype == pytest.approx(expected, abs=1e-9)


def test_one_stray_view_in_five_is_still_consistent():
    """Of five places four agree: each of them with three of its four others, so f = 3/4, below 0.8 but above 0.7."""
    stray = torch.zeros(len(VIEWS), len(LABELS), 3, dtype=torch.bool)
    stray[2] = True
    observed = peaks_that_follow(observe(LABELS, half_window=3), stray)
    score = score_of(CONSISTENCY, observed)
    assert score.value == 0
    assert max(score.details["frequency"]) == pytest.approx(0.75)
    assert score_of(CONSISTENCY, observed, threshold=0.5).value == 100


def test_peaks_that_no_view_shows_are_counted():
    observed = observe(LABELS, half_window=3)
    gone = torch.tensor([[1.0, 0, 2 * SIZE], [0, 1, 0], [0, 0, 1]], dtype=torch.float64).expand(len(LABELS), 3, 3)
    columns = {
        name: {**entry, "warp": gone} if name.startswith("views/") else entry
        for name, entry in observed.columns.items()
    }
    score = score_of(STABILITY, replace(observed, columns=columns))
    assert score.excluded == {NO_VIEW: observed.description.num_prototypes}
    assert score.n_used == 0
    assert np.isnan(score.value)


def test_agreement_is_the_rank_correlation():
    generator = torch.Generator().manual_seed(0)
    one = torch.rand(20, generator=generator, dtype=torch.float64)
    two = one + torch.rand(20, generator=generator, dtype=torch.float64)
    one[3] = torch.nan
    known = one.isfinite()
    found = agreement(one, two)
    assert found["rank_correlation"] == pytest.approx(spearmanr(one[known], two[known]).statistic)
    assert found["prototypes"] == 19
    assert agreement(torch.ones(5), torch.rand(5))["rank_correlation"] is None


def test_scores_with_parts_tell_the_agreement():
    observed = observe(LABELS)
    assert set(score_of(STABILITY, observed).details["agreement_with_stability"]) == {"rank_correlation", "prototypes"}
    without = replace(observed, parts=None)
    assert score_of(STABILITY, without).details["agreement_with_stability"] is None
    assert score_of(CONSISTENCY, without).details["agreement_with_consistency"] is None
