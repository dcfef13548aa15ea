"""Explain a class score or a prototype's activation by several methods, and say which one fits which question.

See `methods` for the methods, and `fit` for how they are judged.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from protoexplain.errors import UserError, nearest_name
from protoexplain.explanations.attribution.fit import NEIGHBOURHOODS, best_fit, fit_errors
from protoexplain.explanations.attribution.methods import METHODS, Attribution, Method
from protoexplain.explanations.attribution.task import AttributionTask, Target
from protoexplain.models.base import PrototypeModel
from protoexplain.progress import Progress

DEFAULT_NEIGHBOURHOOD = "mask"
FIT_SAMPLES = 100
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, eq=False)
class Attributions:
    """One number explained by several methods.

    Args:
        target: The number.
        value: What it is for this picture.
        maps: Method -> what each pixel has to do with it.
        errors: Neighbourhood -> method -> error of its linear fit there, 0 perfect, 1 no better than a constant; None
            where there is nothing to fit.
        parts: Number of superpixels.
        seed: Of everything random.
    """

    target: Target
    value: float
    maps: Mapping[str, Attribution]
    errors: Mapping[str, Mapping[str, float | None]]
    parts: int
    seed: int

    @property
    def recommended(self) -> dict[str, str | None]:
        """Neighbourhood -> the method that fits best there; None where none is clearly better than a constant."""
        return {name: best_fit(errors) for name, errors in self.errors.items()}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the maps."""
        return {
            "target": asdict(self.target),
            "value": self.value,
            "methods": {name: {"title": METHODS[name].title, "paper": METHODS[name].paper} for name in self.maps},
            "neighbourhoods": {
                name: {"question": NEIGHBOURHOODS[name].question, "fit_of": NEIGHBOURHOODS[name].methods}
                for name in self.errors
            },
            "fit_errors": {name: dict(errors) for name, errors in self.errors.items()},
            "recommended": self.recommended,
            "superpixels": self.parts,
            "seed": self.seed,
        }


def attribute(
    task: AttributionTask,
    methods: Sequence[str] | None = None,
    neighbourhoods: Sequence[str] = (DEFAULT_NEIGHBOURHOOD,),
    fit_samples: int = FIT_SAMPLES,
    progress: Progress | None = None,
) -> Attributions:
    """Explain a number by several methods.

    The model stays as it is: no hooks, no gradients of its parameters.  Random numbers of the program are afterwards
    those of before; other threads wait, for captum draws from the same.

    Args:
        task: What is explained, for which picture.
        methods: Names in `METHODS`; all that can explain the target by default.
        neighbourhoods: Names in `NEIGHBOURHOODS` on which the fits are judged.
        fit_samples: Pictures for each of them.
        progress: Told (done, total) in methods and neighbourhoods.

    Raises:
        UserError: Unknown names, a method that cannot explain the target, or no such class or prototype.
    """
    kind = task.target.kind
    names = [name for name, method in METHODS.items() if kind in method.kinds] if methods is None else methods
    chosen = {name: find_method(name, kind) for name in names}
    _check(task.target, task.forward_pass.model, neighbourhoods)
    maps: dict[str, Attribution] = {}
    errors: dict[str, dict[str, float | None]] = {}
    total = len(chosen) + len(neighbourhoods)
    device = task.picture.device
    with _one_at_a_time, torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        for name, method in chosen.items():
            torch.manual_seed(task.seed)
            maps[name] = method.apply(task)
            if progress:
                progress(len(maps), total)
        fits = {name: found.weights for name, found in maps.items() if found.weights is not None}
        for name in neighbourhoods if fits else ():
            errors[name] = fit_errors(task, fits, NEIGHBOURHOODS[name], fit_samples)
            if progress:
                progress(len(maps) + len(errors), total)
        with torch.no_grad():
            value = float(task.score(task.picture))
    return Attributions(task.target, value, maps, errors, task.parts, task.seed)


def find_method(name: str, kind: str) -> Method:
    """A method that can explain a kind of target, ``class`` or ``prototype``.

    Raises:
        UserError: No such method, or it says nothing of the kind.
    """
    if name not in METHODS:
        raise UserError(f"unknown attribution method '{name}'", "", nearest_name(name, METHODS))
    if kind not in METHODS[name].kinds:
        others = ", ".join(other for other, method in METHODS.items() if kind in method.kinds)
        raise UserError(f"{METHODS[name].title} says nothing of a {kind}", name, f"choose of {others}")
    return METHODS[name]


def _check(target: Target, model: PrototypeModel, neighbourhoods: Sequence[str]) -> None:
    for name in neighbourhoods:
        if name not in NEIGHBOURHOODS:
            raise UserError(f"unknown neighbourhood '{name}'", "", nearest_name(name, NEIGHBOURHOODS))
    highest = (model.classes if target.kind == "class" else model.num_prototypes) - 1
    if not 0 <= target.index <= highest:
        raise UserError(f"there is no {target.kind} number {target.index}", "", f"choose a number from 0 to {highest}")
