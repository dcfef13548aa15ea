"""Official codes by file name: `codes/protopnet.py` is the code `protopnet`."""

from __future__ import annotations

from protoexplain.errors import UserError
from protoexplain.importing import codes
from protoexplain.importing.code import OfficialCode
from protoexplain.importing.foreign import ForeignModel
from protoexplain.registry import Registry

CODES = Registry[OfficialCode](codes, "CODE", "protoexplain.importing", "official code", "--family")


def code_of(model: ForeignModel, name: str | None = None) -> OfficialCode:
    """The code that a model is of.

    Args:
        model: Recognised by the names of its tensors.
        name: Of the code, where these do not tell.

    Raises:
        UserError: Unknown, or more than one.
    """
    if name is not None:
        return CODES.find(name)
    found = [each for each in CODES.names() if CODES.find(each).recognises(model)]
    if len(found) != 1:
        names = ", ".join(sorted(model.tensors)[:3])
        what = (
            f"it may be of {' or '.join(found)}" if found else f"its tensors ({names}, ...) are of no code known here"
        )
        raise UserError(what, model.where, f"name one by --family: {', '.join(CODES.names())}")
    return CODES.find(found[0])
