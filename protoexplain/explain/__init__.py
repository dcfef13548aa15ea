"""Explanations of images by a model's prototypes.

The function `protoexplain.explain` has the name of this package, so the package can be called in its place.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package that is called as the function of its name."""

    def __call__(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401
        return importlib.import_module("protoexplain.api.functions").explain(*given, **named)


sys.modules[__name__].__class__ = _CallablePackage
