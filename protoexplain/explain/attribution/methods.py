"""Ways to attribute a number to pixels, by captum; a new one is a function and a line in `METHODS`.

Each of the first eight is a linear fit of the model around the picture (Han, Srinivas and Lakkaraju 2022, "Which
Explanation Should I Choose?", table 1); they differ in the neighbourhood that they fit.  Their weights w [3,S,S] say:
score(x') is about score(x) + w (x' - x).  A missing part is replaced by the mean colour of the picture.  Grad-CAM, the
similarity map and the receptive field are no such fits.  M superpixels, n pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protoexplain.explain.attribution.question import Question
from protoexplain.models.contract import best_cells
from protoexplain.regions.boxes import upsample
from protoexplain.regions.map_sizes import by_size

KERNEL_WIDTH = 0.25
"""Of LIME's exponential kernel, over one minus the cosine of a mask and the full one (Ribeiro et al. 2016)."""
PART_NOISE = 0.25
"""Standard deviation of C-LIME's noise, in units of a superpixel's presence."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each pixel has to do with the number.

    Args:
        heat: float32 [S,S]; where `signed`, positive values raise the number.
        signed: Whether negative values mean something.
        weights: [3,S,S] of the linear fit that the method is, None for the other methods.
    """

    heat: NDArray[np.float32]
    signed: bool
    weights: Tensor | None = None


@dataclass(frozen=True)
class Method:
    """A way to attribute.

    Args:
        title: For people.
        paper: Where it comes from.
        apply: Question -> attribution.
        kinds: Targets that it can explain.
    """

    title: str
    paper: str
    apply: Callable[[Question], Attribution]
    kinds: tuple[str, ...] = ("class", "prototype")


def saliency(question: Question) -> Attribution:
    """|d score / d pixel|, the largest of the channels."""
    gradient = _gradient(question)
    return _unsigned(gradient.abs().amax(0), gradient)


def input_x_gradient(question: Question) -> Attribution:
    """(x - baseline) * gradient, summed over the channels."""
    from captum.attr import InputXGradient

    score, baseline = question.score, question.baseline
    products = InputXGradient(lambda shift: score(baseline + shift)).attribute(_leaf(question.difference))[0]
    return _signed(products.sum(0), _gradient(question))


def smoothgrad(question: Question) -> Attribution:
    """The mean gradient under pixel noise."""
    from captum.attr import NoiseTunnel, Saliency

    gradient = NoiseTunnel(Saliency(question.score)).attribute(
        _leaf(question.picture),
        nt_type="smoothgrad",
        nt_samples=question.noisy,
        nt_samples_batch_size=min(question.batch, question.noisy),
        stdevs=question.noise,
        abs=False,
    )[0]
    return _unsigned(gradient.abs().amax(0), gradient)


def integrated_gradients(question: Question) -> Attribution:
    """(x - baseline) times the mean gradient on the line between them; adds up to the difference of the scores."""
    from captum.attr import IntegratedGradients

    gradient = IntegratedGradients(question.score, multiply_by_inputs=False).attribute(
        _leaf(question.picture),
        baselines=question.baseline,
        n_steps=question.steps,
        internal_batch_size=question.batch,
    )[0]
    return _signed((gradient * question.difference[0]).sum(0), gradient)


def occlusion(question: Question) -> Attribution:
    """By how much the score falls when one superpixel is missing (captum's FeatureAblation: Occlusion by regions)."""
    from captum.attr import FeatureAblation

    falls = FeatureAblation(question.score).attribute(
        question.picture,
        baselines=question.baseline,
        feature_mask=question.superpixels[None, None],
        perturbations_per_eval=question.batch,
    )[0, 0]
    effects = falls.new_zeros(question.parts)
    effects[question.superpixels.flatten()] = falls.flatten()
    return _of_parts(question, effects)


def lime(question: Question) -> Attribution:
    """Weighted least squares over random masks of the superpixels, those close to the whole picture weigh most."""
    from captum.attr import Lime

    from protoexplain.explain.attribution.linear_model import LeastSquares

    fitted = Lime(
        question.score,
        interpretable_model=LeastSquares(),
        similarity_func=lambda picture, masked, mask, **settings: exponential_kernel(mask.to(picture)),
    )
    return _of_parts(question, fitted.attribute(question.picture, **_mask_settings(question))[0])


def c_lime(question: Question) -> Attribution:
    """Least squares over Gaussian noise on how much each superpixel is there (C-LIME, Agarwal et al. 2021)."""
    from captum.attr import LimeBase

    from protoexplain.explain.attribution.linear_model import LeastSquares

    generator = torch.Generator().manual_seed(question.seed)

    def draw(picture: Tensor, **settings: object) -> Tensor:
        return 1 + PART_NOISE * torch.randn(1, question.parts, generator=generator)

    fitted = LimeBase(
        question.score,
        interpretable_model=LeastSquares(),
        similarity_func=lambda picture, changed, presence, **settings: 1.0,
        perturb_func=draw,
        perturb_interpretable_space=True,
        from_interp_rep_transform=lambda presence, picture, **settings: question.mixed(presence),
        to_interp_rep_transform=None,
    )
    weights = fitted.attribute(question.picture, n_samples=question.samples, perturbations_per_eval=question.batch)
    return _of_parts(question, weights[0])


def kernel_shap(question: Question) -> Attribution:
    """Shapley values of the superpixels by weighted least squares (Lundberg and Lee 2017)."""
    from captum.attr import KernelShap

    from protoexplain.explain.attribution.linear_model import LeastSquares

    fitted = KernelShap(question.score)
    fitted.interpretable_model = LeastSquares()
    return _of_parts(question, fitted.attribute(question.picture, **_mask_settings(question))[0])


def grad_cam(question: Question) -> Attribution:
    """Feature maps of the backbone weighted by their mean gradient; only what raises the score."""
    from captum.attr import LayerGradCam

    score = question.score
    cells = LayerGradCam(score, score.features).attribute(_leaf(question.picture), relu_attributions=True)[0, 0]
    return _unsigned(_upsampled(question, cells).clamp_min(0))


def similarity_map(question: Question) -> Attribution:
    """The prototype's own map; for a class the maps of all prototypes, weighted as the head weighs them."""
    target, maps = question.target, question.reading.maps
    if target.kind == "prototype":
        return _unsigned(_upsampled(question, maps[target.index]))
    weights = question.reading.model.class_weights().detach()[target.index].cpu()
    weighted = [torch.einsum("p,phw->hw", weights[places], stack) for places, stack in by_size(maps)]
    return _signed(torch.stack([_upsampled(question, cells) for cells in weighted]).sum(0))


def receptive_field(question: Question) -> Attribution:
    """One where a pixel can influence the prototype's best cell at all."""
    cells = question.reading.maps[question.target.index]
    rows, columns = cells.shape
    box = question.fields()[rows, columns].box(*best_cells(cells[None])[0])
    heat = torch.zeros(question.picture.shape[2:])
    heat[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = 1
    return _unsigned(heat)


def exponential_kernel(masks: Tensor) -> Tensor:
    """LIME's weights [n] of masks [n,M]: exp(-d^2 / width^2) with d = 1 - cosine of the mask and the full one."""
    distance = 1 - masks.mean(1).sqrt()
    return torch.exp(-distance.square() / KERNEL_WIDTH**2)


def _gradient(question: Question) -> Tensor:
    """[3,S,S]."""
    from captum.attr import Saliency

    gradient: Tensor = Saliency(question.score).attribute(_leaf(question.picture), abs=False)[0]
    return gradient


def _leaf(values: Tensor) -> Tensor:
    """A copy that gradients may flow to."""
    return values.detach().clone().requires_grad_()


def _mask_settings(question: Question) -> dict[str, Any]:
    return {
        "baselines": question.baseline,
        "feature_mask": question.superpixels[None, None],
        "n_samples": question.samples,
        "perturbations_per_eval": question.batch,
        "return_input_shape": False,
    }


def _of_parts(question: Question, effects: Tensor) -> Attribution:
    """From what each superpixel adds by being there, [M]."""
    effects = effects.flatten().to(question.picture)
    return _signed(effects[question.superpixels], question.spread(effects))


def _upsampled(question: Question, cells: Tensor) -> Tensor:
    size = question.picture.shape[2]
    return upsample(cells.detach().cpu(), size, size)


def _signed(heat: Tensor, weights: Tensor | None = None) -> Attribution:
    return Attribution(_array(heat), True, weights)


def _unsigned(heat: Tensor, weights: Tensor | None = None) -> Attribution:
    return Attribution(_array(heat), False, weights)


def _array(heat: Tensor) -> NDArray[np.float32]:
    return heat.detach().cpu().float().numpy()


METHODS = {
    "saliency": Method("Saliency", "Simonyan et al. 2014", saliency),
    "input-x-gradient": Method("Input x Gradient", "Shrikumar et al. 2017", input_x_gradient),
    "smoothgrad": Method("SmoothGrad", "Smilkov et al. 2017", smoothgrad),
    "integrated-gradients": Method("Integrated Gradients", "Sundararajan et al. 2017", integrated_gradients),
    "occlusion": Method("Occlusion", "Zeiler and Fergus 2014", occlusion),
    "lime": Method("LIME", "Ribeiro et al. 2016", lime),
    "c-lime": Method("C-LIME", "Agarwal et al. 2021", c_lime),
    "kernel-shap": Method("KernelSHAP", "Lundberg and Lee 2017", kernel_shap),
    "grad-cam": Method("Grad-CAM", "Selvaraju et al. 2017", grad_cam),
    "map": Method("Similarity map", "Chen et al. 2019", similarity_map),
    "receptive-field": Method("Receptive field", "Luo et al. 2016", receptive_field, kinds=("prototype",)),
}
