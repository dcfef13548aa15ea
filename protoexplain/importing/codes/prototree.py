"""ProtoTree, M-Nauta/ProtoTree: recognised, so that it is refused by name; there is no family of trees here."""

from __future__ import annotations

from protoexplain.errors import UserError
from protoexplain.importing.code import Converted, OfficialCode
from protoexplain.importing.foreign import ForeignModel


def convert(model: ForeignModel, classes: int | None) -> Converted:
    raise UserError("this is a ProtoTree, and there is no family of trees to import it into", model.where)


CODE = OfficialCode(
    title="ProtoTree (Nauta et al. 2021)",
    recognises=lambda model: (
        any(name.startswith(("_root.", "classifier.tree.")) for name in model.tensors)
        or model.has("prototype_layer.prototype_vectors")
    ),
    convert=convert,
)
