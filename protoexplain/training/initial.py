"""The first values of a model: random numbers, or what a look at the parts of the object found; and the object gate."""

from __future__ import annotations

from functools import partial

from protoexplain.models.base import PrototypeModel
from protoexplain.models.components import ComponentNet
from protoexplain.models.learned_ownership import LearnedOwnership
from protoexplain.models.parts import PartClassifier
from protoexplain.models.pooled import PooledClassifier
from protoexplain.training.component_start import start_components, start_reasoning
from protoexplain.training.object_gate import fit_object_gate
from protoexplain.training.part_start import parts_of_images, start_from_parts, start_part_classifier
from protoexplain.training.patch_start import sampled_patches
from protoexplain.training.shared_start import start_shared
from protoexplain.training.trainer import Trainer


def start(run: Trainer, first: PrototypeModel) -> None:
    """Give the prototypes, the object gate and the reasoning of a fresh model their first values, as configured.

    Args:
        run: Its model is fresh.
        first: What its first stage trains.

    Raises:
        UserError: Numbers of prototypes that do not fit the parts.
    """
    how = run.config.model.start  # type: ignore[attr-defined]
    run.model.start_from_patches(partial(sampled_patches, run))
    if isinstance(run.model, PartClassifier):
        start_part_classifier(run, run.model)
    elif isinstance(run.model, PooledClassifier):
        pass
    elif how == "parts":
        assert isinstance(first, PartClassifier), "see `check_model`"
        if isinstance(run.model, ComponentNet):
            start_components(run.model, first, parts_of_images(run, first), run.config.training.seed)
        elif not isinstance(run.model, LearnedOwnership):
            start_from_parts(run, first)
    fit_object_gate(run)
    if how == "parts" and isinstance(run.model, ComponentNet):
        everything = list(range(len(run.data.train)))
        start_reasoning(run.model, run.clean_batches(everything, "components of the classes"))
    elif how == "parts" and isinstance(run.model, LearnedOwnership):
        assert isinstance(first, PartClassifier)
        start_shared(run, first)
