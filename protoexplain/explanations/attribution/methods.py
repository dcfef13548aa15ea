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

from protoexplain.explanations.attribution.task import AttributionTask
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
    apply: Callable[[AttributionTask], Attribution]
    kinds: tuple[str, ...] = ("class", "prototype")


def saliency(task: AttributionTask) -> Attribution:
    """|d score / d pixel|, the largest of the channels."""
    gradient = _gradient(task)
    return _unsigned(gradient.abs().amax(0), gradient)


def input_x_gradient(task: AttributionTask) -> Attribution:
    """(x - baseline) * gradient, summed over the channels."""
    from captum.attr import InputXGradient

    score, baseline = task.score, task.baseline
    products = InputXGradient(lambda shift: score(baseline + shift)).attribute(_leaf(task.difference))[0]
    return _signed(products.sum(0), _gradient(task))


def smoothgrad(task: AttributionTask) -> Attribution:
    """The mean gradient under pixel noise."""
    from captum.attr import NoiseTunnel, Saliency

    gradient = NoiseTunnel(Saliency(task.score)).attribute(
        _leaf(task.picture),
        nt_type="smoothgrad",
        nt_samples=task.noisy,
        nt_samples_batch_size=min(task.batch, task.noisy),
        stdevs=task.noise,
        abs=False,
    )[0]
    return _unsigned(gradient.abs().amax(0), gradient)


def integrated_gradients(task: AttributionTask) -> Attribution:
    """(x - baseline) times the mean gradient on the line between them; adds up to the difference of the scores."""
    from captum.attr import IntegratedGradients

    gradient = IntegratedGradients(task.score, multiply_by_inputs=False).attribute(
        _leaf(task.picture),
        baselines=task.baseline,
        n_steps=task.steps,
        internal_batch_size=task.batch,
    )[0]
    return _signed((gradient * task.difference[0]).sum(0), gradient)


def occlusion(task: AttributionTask) -> Attribution:
    """By how much the score falls when one superpixel is missing (captum's FeatureAblation: Occlusion by regions)."""
    from captum.attr import FeatureAblation

    falls = FeatureAblation(task.score).attribute(
        task.picture,
        baselines=task.baseline,
        feature_mask=task.superpixels[None, None],
        perturbations_per_eval=task.batch,
    )[0, 0]
    effects = falls.new_zeros(task.parts)
    effects[task.superpixels.flatten()] = falls.flatten()
    return _of_parts(task, effects)


def lime(task: AttributionTask) -> Attribution:
    """Weighted least squares over random masks of the superpixels, those close to the whole picture weigh most."""
    from captum.attr import Lime

    from protoexplain.explanations.attribution.linear_model import LeastSquares

    fitted = Lime(
        task.score,
        interpretable_model=LeastSquares(),
        similarity_func=lambda picture, masked, mask, **settings: exponential_kernel(mask.to(picture)),
    )
    return _of_parts(task, fitted.attribute(task.picture, **_mask_settings(task))[0])


def c_lime(task: AttributionTask) -> Attribution:
    """Least squares over Gaussian noise on how much each superpixel is there (C-LIME, Agarwal et al. 2021)."""
    from captum.attr import LimeBase

    from protoexplain.explanations.attribution.linear_model import LeastSquares

    generator = torch.Generator().manual_seed(task.seed)

    def draw(picture: Tensor, **settings: object) -> Tensor:
        return 1 + PART_NOISE * torch.randn(1, task.parts, generator=generator)

    fitted = LimeBase(
        task.score,
        interpretable_model=LeastSquares(),
        similarity_func=lambda picture, changed, presence, **settings: 1.0,
        perturb_func=draw,
        perturb_interpretable_space=True,
        from_interp_rep_transform=lambda presence, picture, **settings: task.mixed(presence),
        to_interp_rep_transform=None,
    )
    weights = fitted.attribute(task.picture, n_samples=task.samples, perturbations_per_eval=task.batch)
    return _of_parts(task, weights[0])


def kernel_shap(task: AttributionTask) -> Attribution:
    """Shapley values of the superpixels by weighted least squares (Lundberg and Lee 2017)."""
    from captum.attr import KernelShap

    from protoexplain.explanations.attribution.linear_model import LeastSquares

    fitted = KernelShap(task.score)
    fitted.interpretable_model = LeastSquares()
    return _of_parts(task, fitted.attribute(task.picture, **_mask_settings(task))[0])


def grad_cam(task: AttributionTask) -> Attribution:
    """Feature maps of the backbone weighted by their mean gradient; only what raises the score."""
    from captum.attr import LayerGradCam

    score = task.score
    cells = LayerGradCam(score, score.features).attribute(_leaf(task.picture), relu_attributions=True)[0, 0]
    return _unsigned(_upsampled(task, cells).clamp_min(0))


def similarity_map(task: AttributionTask) -> Attribution:
    """The prototype's own map; for a class the maps of all prototypes, weighted as the head weighs them."""
    target, maps = task.target, task.forward_pass.maps
    if target.kind == "prototype":
        return _unsigned(_upsampled(task, maps[target.index]))
    weights = task.forward_pass.model.class_weights().detach()[target.index].cpu()
    weighted = [torch.einsum("p,phw->hw", weights[places], stack) for places, stack in by_size(maps)]
    return _signed(torch.stack([_upsampled(task, cells) for cells in weighted]).sum(0))


def receptive_field(task: AttributionTask) -> Attribution:
    """One where a pixel can influence the prototype's best cell at all."""
    cells = task.forward_pass.maps[task.target.index]
    rows, columns = cells.shape
    box = task.fields()[rows, columns].box(*best_cells(cells[None])[0])
    heat = torch.zeros(task.picture.shape[2:])
    heat[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = 1
    return _unsigned(heat)


def exponential_kernel(masks: Tensor) -> Tensor:
    """LIME's weights [n] of masks [n,M]: exp(-d^2 / width^2) with d = 1 - cosine of the mask and the full one."""
    distance = 1 - masks.mean(1).sqrt()
    return torch.exp(-distance.square() / KERNEL_WIDTH**2)


def _gradient(task: AttributionTask) -> Tensor:
    """[3,S,S]."""
    from captum.attr import Saliency

    gradient: Tensor = Saliency(task.score).attribute(_leaf(task.picture), abs=False)[0]
    return gradient


def _leaf(values: Tensor) -> Tensor:
    """A copy that gradients may flow to."""
    return values.detach().clone().requires_grad_()


def _mask_settings(task: AttributionTask) -> dict[str, Any]:
    return {
        "baselines": task.baseline,
        "feature_mask": task.superpixels[None, None],
        "n_samples": task.samples,
        "perturbations_per_eval": task.batch,
        "return_input_shape": False,
    }


def _of_parts(task: AttributionTask, effects: Tensor) -> Attribution:
    """From what each superpixel adds by being there, [M]."""
    effects = effects.flatten().to(task.picture)
    return _signed(effects[task.superpixels], task.spread(effects))


def _upsampled(task: AttributionTask, cells: Tensor) -> Tensor:
    size = task.picture.shape[2]
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
