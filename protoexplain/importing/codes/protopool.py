"""ProtoPool, gmum/ProtoPool: as ProtoPNet, with proto_presence, the logits of each slot over the pool [C,P,S]."""

from __future__ import annotations

from protoexplain.importing.code import Converted, OfficialCode, Tensors, activation_settings, input_settings
from protoexplain.importing.foreign import ForeignModel

_TITLE = "ProtoPool (Rymarczyk et al. 2022)"


def convert(model: ForeignModel, classes: int | None) -> Converted:
    tensors = Tensors(model, _TITLE)
    slots = tensors.take("proto_presence", None, None, None)
    found, count, per_class = slots.shape
    prototypes = tensors.take("prototype_vectors", count, None, 1, 1)
    weights = {
        "branches.main.prototypes": prototypes,
        "branches.main.head.slot_logits": slots,
        "branches.main.head.weight": tensors.take("last_layer.weight", found, found * per_class),
        "branches.main.addon.0.weight": tensors.take("add_on_layers.0.weight", None, None, 1, 1),
        "branches.main.addon.0.bias": tensors.take("add_on_layers.0.bias", None),
    }
    backbone = tensors.under("features.")
    tensors.skip("ones")
    tensors.end()
    data, assumed = input_settings(model)
    activation, assumed = activation_settings(model, assumed)
    return Converted(
        family="protopool",
        model={
            "prototypes": count,
            "slots": per_class,
            "prototype_channels": prototypes.shape[1],
            **activation,
        },
        weights=weights,
        backbone=backbone,
        classes=found,
        data=data,
        assumed=(
            *assumed,
            "each slot is the prototype with its largest logit, without the noise that the official code draws",
        ),
    )


CODE = OfficialCode(
    title=_TITLE,
    recognises=lambda model: model.has("proto_presence", "prototype_vectors"),
    convert=convert,
)
