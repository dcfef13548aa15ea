"""ProtoPNet, cfchen-duke/ProtoPNet: features, add_on_layers, prototype_vectors, last_layer."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from protoexplain.importing.code import Converted, OfficialCode, Tensors, activation_settings, input_settings
from protoexplain.importing.foreign import ForeignModel
from protoexplain.importing.owners import owners_of, places_of

_TITLE = "ProtoPNet (Chen et al. 2019)"


def convert(model: ForeignModel, classes: int | None) -> Converted:
    found = as_saved(model, _TITLE, None, None)
    activation, assumed = activation_settings(model, found.assumed)
    return replace(found, model={**found.model, **activation}, assumed=assumed)


def as_saved(model: ForeignModel, title: str, *size: int | None) -> Converted:
    """A model whose state dict is that of ProtoPNet, with prototypes of h x w cells; without what activates them.

    Args:
        model: The model.
        title: Of the code, for errors.
        size: h and w of the code's prototypes; None stands for any.

    Raises:
        UserError: A tensor is missing, of another shape, or not understood.
    """
    tensors = Tensors(model, title)
    prototypes = tensors.take("prototype_vectors", None, None, *size)
    weight = tensors.take("last_layer.weight", None, len(prototypes))
    addon, backbone = tensors.under("add_on_layers."), tensors.under("features.")
    tensors.skip("ones")
    tensors.end()
    data, assumed = input_settings(model)
    identity = model.settings.get("prototype_class_identity")
    return protopnet(
        prototypes,
        weight,
        addon,
        backbone,
        identity=identity if isinstance(identity, Tensor) else None,
        settings={},
        data=data,
        assumed=assumed,
    )


def protopnet(
    prototypes: Tensor,
    weight: Tensor,
    addon: dict[str, Tensor],
    backbone: dict[str, Tensor],
    *,
    identity: Tensor | None,
    settings: dict[str, object],
    data: dict[str, object],
    assumed: tuple[str, ...],
) -> Converted:
    """A ProtoPNet from prototypes [P,D,h,w], last-layer weights [C,P], add-on and backbone.

    Two convolutions in the add-on may be the `regular` one or a `bottleneck` of one pair; both compute the same.
    """
    classes = len(weight)
    places = places_of(owners_of(identity, weight), classes)
    fresh = range(classes * places.per_class)
    return Converted(
        family="protopnet",
        model={
            "prototypes_per_class": places.per_class,
            "prototype_channels": prototypes.shape[1],
            "prototype_size": list(prototypes.shape[2:]),
            "addon": "regular" if len(addon) <= 4 else "bottleneck",
            **settings,
        },
        weights={
            "branches.main.prototypes": prototypes[places.order],
            "branches.main.head.weight": weight[:, places.order],
            **{f"branches.main.addon.{name}": tensor for name, tensor in addon.items()},
        },
        backbone=backbone,
        classes=classes,
        data=data,
        kept=None if places.kept == tuple(fresh) else places.kept,
        assumed=assumed,
    )


CODE = OfficialCode(
    title=_TITLE,
    recognises=lambda model: (
        model.has("prototype_vectors", "last_layer.weight")
        and not model.has("proto_presence")
        and model.saved_class != "TESNet"
    ),
    convert=convert,
)
