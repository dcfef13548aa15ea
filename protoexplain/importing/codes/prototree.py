"""ProtoTree, M-Nauta/ProtoTree: recognised, so that it is refused by name.

The official code numbers prototypes in the order of a set of nodes, which differs between runs; its state dicts do not
hold that order.
"""

from __future__ import annotations

from protoexplain.errors import UserError
from protoexplain.importing.code import Converted, OfficialCode
from protoexplain.importing.foreign import ForeignModel


def convert(model: ForeignModel, classes: int | None) -> Converted:
    raise UserError(
        "this is a ProtoTree, whose tensors do not tell which prototype belongs to which node",
        model.where,
        "train one here, such as by `protoexplain train --config cub-prototree`",
    )


CODE = OfficialCode(
    title="ProtoTree (Nauta et al. 2021)",
    recognises=lambda model: (
        any(name.startswith(("_root.", "classifier.tree.")) for name in model.tensors)
        or model.has("prototype_layer.prototype_vectors")
    ),
    convert=convert,
)
