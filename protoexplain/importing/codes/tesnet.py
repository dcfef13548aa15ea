"""TesNet, JackeyWang96/TesNet: with the state dict of ProtoPNet, so that whole models or people have to tell."""

from __future__ import annotations

from dataclasses import replace

from protoexplain.importing.code import Converted, OfficialCode
from protoexplain.importing.codes.protopnet import as_saved
from protoexplain.importing.foreign import ForeignModel

_TITLE = "TesNet (Wang et al. 2021)"


def convert(model: ForeignModel, classes: int | None) -> Converted:
    found = as_saved(model, _TITLE, 1, 1)
    settings = {name: value for name, value in found.model.items() if name != "prototype_size"}
    return replace(found, family="tesnet", model=settings)


CODE = OfficialCode(title=_TITLE, recognises=lambda model: model.saved_class == "TESNet", convert=convert)
