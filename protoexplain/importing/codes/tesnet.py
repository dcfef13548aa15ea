"""TesNet, JackeyWang96/TesNet: with the state dict of ProtoPNet, so that whole models or people have to tell."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from protoexplain.importing.code import Converted, OfficialCode, Tensors, input_settings
from protoexplain.importing.codes.protopnet import protopnet
from protoexplain.importing.foreign import ForeignModel

_TITLE = "TesNet (Wang et al. 2021)"


def convert(model: ForeignModel, classes: int | None) -> Converted:
    tensors = Tensors(model, _TITLE)
    prototypes = tensors.take("prototype_vectors", None, None, 1, 1)
    weight = tensors.take("last_layer.weight", None, len(prototypes))
    addon, backbone = tensors.under("add_on_layers."), tensors.under("features.")
    tensors.skip("ones")
    tensors.end()
    data, assumed = input_settings(model)
    identity = model.settings.get("prototype_class_identity")
    found = protopnet(
        prototypes,
        weight,
        addon,
        backbone,
        identity=identity if isinstance(identity, Tensor) else None,
        settings={},
        data=data,
        assumed=assumed,
    )
    settings = {name: value for name, value in found.model.items() if name != "prototype_size"}
    return replace(found, family="tesnet", model=settings)


CODE = OfficialCode(title=_TITLE, recognises=lambda model: model.saved_class == "TESNet", convert=convert)
