"""How well an attribution describes the model around a picture: the error of its linear fit on a neighbourhood.

Han, Srinivas and Lakkaraju 2022 ("Which Explanation Should I Choose?") show that common attributions are linear fits of
the model on different neighbourhoods, that none can be best on all of them, and advise to take the one that fits best
on the neighbourhood of the question that one has.  A neighbourhood is a random way to change the picture.  The error is

    sum_i v_i (r_i - mean r)^2 / sum_i v_i (f_i - mean f)^2    with r_i = f(x_i) - w x_i,

the share of the score's variance that the weights w leave unexplained: 0 is a perfect fit, 1 no better than a
constant.  The constant of the fit is free, for an explanation shows weights only.  v_i are the neighbourhood's weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from protoexplain.explanations.attribution.methods import PART_NOISE, exponential_kernel
from protoexplain.explanations.attribution.task import AttributionTask
from protoexplain.models.precision import exact

Changed = Iterator[tuple[Tensor, Tensor]]
USELESS = 0.95
"""A fit that leaves more of the variance unexplained describes nothing."""
_FLAT = 1e-12
"""A score whose variance is below this share of its square does not vary but for rounding."""


@dataclass(frozen=True)
class Neighbourhood:
    """A way to change a picture.

    Args:
        question: What it asks, for people.
        methods: Whose fit it is; the gradient methods in brackets match gradients on it instead of values.
        draw: (task, n, generator) -> batches of pictures [b,3,S,S] with weights [b].
    """

    question: str
    methods: str
    draw: Callable[[AttributionTask, int, Generator], Changed]


def _pixel_noise(task: AttributionTask, count: int, generator: Generator) -> Changed:
    for start in range(0, count, task.batch):
        shape = (min(task.batch, count - start), *task.picture.shape[1:])
        noise = torch.randn(shape, generator=generator).to(task.picture)
        yield task.picture + task.noise * noise, torch.ones(shape[0])


def _part_noise(task: AttributionTask, count: int, generator: Generator) -> Changed:
    return _presences(task, 1 + PART_NOISE * torch.randn(count, task.parts, generator=generator))


def _masks(task: AttributionTask, count: int, generator: Generator) -> Changed:
    return _presences(task, _random_masks(task, count, generator))


def _weighted_masks(task: AttributionTask, count: int, generator: Generator) -> Changed:
    masks = _random_masks(task, count, generator)
    return _presences(task, masks, exponential_kernel(masks))


def _shapley_masks(task: AttributionTask, count: int, generator: Generator) -> Changed:
    """Sizes s of the kept part with probability proportional to 1 / (s (M - s)); all sets of a size alike."""
    parts = task.parts
    sizes = torch.arange(1, parts)
    drawn = sizes[torch.multinomial(1 / (sizes * (parts - sizes)), count, replacement=True, generator=generator)]
    ranks = torch.rand(count, parts, generator=generator).argsort(1).argsort(1)
    return _presences(task, (ranks < drawn[:, None]).float())


def _one_out(task: AttributionTask, count: int, generator: Generator) -> Changed:
    """Every superpixel once, whatever the count."""
    return _presences(task, 1 - torch.eye(task.parts))


def _fading(task: AttributionTask, count: int, generator: Generator) -> Changed:
    """The whole picture, at evenly spaced strengths instead of random ones."""
    strength = (torch.arange(count) + 0.5) / count
    return _presences(task, strength[:, None].expand(-1, task.parts))


NEIGHBOURHOODS = {
    "gaussian": Neighbourhood("What if the pixels were a little noisy?", "(SmoothGrad, Saliency)", _pixel_noise),
    "c-lime": Neighbourhood("What if parts were a little stronger or weaker?", "C-LIME", _part_noise),
    "mask": Neighbourhood("What if parts of the picture were missing?", "", _masks),
    "exponential": Neighbourhood("What if some parts were missing, the fewer the likelier?", "LIME", _weighted_masks),
    "shapley": Neighbourhood("What does each part add, alone or to the others?", "KernelSHAP", _shapley_masks),
    "one-out": Neighbourhood("What if one part were missing?", "Occlusion", _one_out),
    "fading": Neighbourhood(
        "What if the whole picture faded to one colour?", "(Integrated Gradients, Input x Gradient)", _fading
    ),
}
"""By name, in the order of table 1 of the paper; `mask` keeps each part with probability one half."""


@torch.no_grad()
def fit_errors(
    task: AttributionTask, fits: Mapping[str, Tensor], neighbourhood: Neighbourhood, samples: int = 100
) -> dict[str, float | None]:
    """The errors of linear fits on a neighbourhood, all from the same forward passes.

    Args:
        task: What is explained, for which picture.
        fits: Name -> weights [3,S,S].
        neighbourhood: On which the fit is judged.
        samples: Pictures that are drawn.

    Returns:
        Name -> error, at least 0; None where the score does not vary, so that there is nothing to fit.
    """
    generator = torch.Generator().manual_seed(task.seed + 1)
    slopes = exact(torch.stack([weights.flatten() for weights in fits.values()]))
    score, values, guesses, weights = task.score, [], [], []
    for pictures, importance in neighbourhood.draw(task, samples, generator):
        values.append(exact(score(pictures)))
        guesses.append(exact((pictures - task.picture).flatten(1)) @ slopes.T)
        weights.append(importance.to(values[-1]))
    truth, predicted, share = torch.cat(values), torch.cat(guesses), torch.cat(weights)
    variance = _variance(truth[:, None], share)[0]
    if variance <= _FLAT * truth.square().mean():
        return dict.fromkeys(fits)
    errors = _variance(truth[:, None] - predicted, share) / variance
    return dict(zip(fits, errors.tolist(), strict=True))


def best_fit(errors: Mapping[str, float | None]) -> str | None:
    """The method to recommend: the one with the least error; None where none fits clearly better than a constant."""
    known = {name: error for name, error in errors.items() if error is not None and error <= USELESS}
    return min(known, key=lambda name: known[name]) if known else None


def _random_masks(task: AttributionTask, count: int, generator: Generator) -> Tensor:
    return torch.randint(2, (count, task.parts), generator=generator).float()


def _presences(task: AttributionTask, presence: Tensor, weights: Tensor | None = None) -> Changed:
    """Pictures from how much of each superpixel is there, [n,M]."""
    weights = torch.ones(len(presence)) if weights is None else weights
    return zip(task.chunks(presence), weights.split(task.batch), strict=True)


def _variance(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted variance [K] of [n,K]."""
    share = (weights / weights.sum())[:, None]
    return (share * (values - (share * values).sum(0)).square()).sum(0)
