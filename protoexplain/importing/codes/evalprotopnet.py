"""EvalProtoPNet, hqhQAQ/EvalProtoPNet: one weight for each prototype; no tensor tells the number of classes."""

from __future__ import annotations

from protoexplain.importing.code import Converted, OfficialCode, Tensors, input_settings
from protoexplain.importing.foreign import ForeignModel

_TITLE = "EvalProtoPNet (Huang et al. 2023)"


def convert(model: ForeignModel, classes: int | None) -> Converted:
    tensors = Tensors(model, _TITLE)
    prototypes = tensors.take("prototype_vectors", None, None, 1, 1)
    count = len(prototypes)
    weights = {
        "branches.main.prototypes": prototypes,
        "branches.main.head.weight": tensors.take("activation_weight", count),
        "branches.main.addon.0.weight": tensors.take("add_on_layers.0.weight", None, None, 1, 1),
        "branches.main.addon.0.bias": tensors.take("add_on_layers.0.bias", None),
    }
    backbone = tensors.under("features.")
    tensors.skip("ones")
    tensors.end()
    found = model.setting("num_classes", int, classes)
    if not found or found < 1 or count % found:
        raise tensors.refusal(
            f"{count} prototypes cannot be shared out evenly among {found or 'an unknown number of'} classes"
        )
    data, assumed = input_settings(model)
    return Converted(
        family="evalprotopnet",
        model={"prototypes_per_class": count // found, "prototype_channels": prototypes.shape[1]},
        weights=weights,
        backbone=backbone,
        classes=found,
        data=data,
        assumed=assumed,
    )


CODE = OfficialCode(
    title=_TITLE,
    recognises=lambda model: model.has("prototype_vectors", "activation_weight"),
    convert=convert,
)
