"""What a file of another program holds: tensors by name, and the settings that stand beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from protoexplain.config import read_yaml_file
from protoexplain.errors import UserError
from protoexplain.importing.known_classes import is_known_class
from protoexplain.io.pickled import StandIn, plain_tensor, read_pickled
from protoexplain.io.tensors import read_tensors

CABRNET_ARCHITECTURE, CABRNET_STATE = "model_arch.yml", "model_state.pth"
_WRAPPERS = ("model_state_dict", "state_dict", "model_state", "model", "net")
"""Under which programs keep a model beside the state of an optimizer."""
_CLASS = "class"
"""The setting that tells the class of a module; no attribute is called so."""
_DEEPEST, _LONGEST_NAME = 40, 200
_FIX = "give the file with the model's own state dict"


@dataclass(frozen=True)
class ForeignModel:
    """A model of another program.

    Args:
        tensors: Its state dict; floating point as float32.
        settings: Plain attributes of modules that were saved whole, by dotted name.
        architecture: What a folder says of the model in words; empty for single files.
        where: The file.
    """

    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any]
    architecture: Mapping[str, Any]
    where: str

    def has(self, *names: str) -> bool:
        """Whether there are tensors of all these names."""
        return all(name in self.tensors for name in names)

    @property
    def saved_class(self) -> str:
        """Name of the class of a module that was saved whole; empty for state dicts."""
        name: str = self.setting(_CLASS, str, "")
        return name

    def setting(self, name: str, kind: type, otherwise: Any) -> Any:  # noqa: ANN401 - of that kind
        """An attribute of that kind, if the file has it."""
        found = self.settings.get(name)
        return found if type(found) is kind else otherwise


def is_foreign(path: Path) -> bool:
    """Whether this is a file, or a folder as CaBRNet writes it; checkpoints of our own are other folders."""
    return path.is_file() or (path / CABRNET_ARCHITECTURE).is_file()


def read_foreign(path: Path) -> ForeignModel:
    """Read a file (`.pth`, `.pt`, `.safetensors`), or a folder of CaBRNet; nothing in it is run.

    Raises:
        UserError: There is none, or it holds no model that can be read safely.
    """
    architecture: dict[str, Any] = {}
    if path.is_dir():
        architecture = _architecture(path / CABRNET_ARCHITECTURE)
        path = path / CABRNET_STATE
    if not path.is_file():
        raise UserError("no such file", str(path), "give a file of weights, or a folder that CaBRNet wrote")
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}
    if path.suffix == ".safetensors":
        tensors = read_tensors(path)
    else:
        _gather(read_pickled(path, is_known_class), str(path), "", tensors, settings)
    if not tensors:
        raise UserError("there is no tensor in the file", str(path), _FIX)
    if not all(name.isprintable() and len(name) <= _LONGEST_NAME for name in tensors):
        raise UserError("the names of tensors are no names", str(path), _FIX)
    plain = {name: plain_tensor(name, tensor, str(path)) for name, tensor in tensors.items()}
    return ForeignModel(_unwrapped(plain), _unwrapped(settings), architecture, str(path))


def _architecture(path: Path) -> dict[str, Any]:
    if not path.is_file():
        what = f"the folder has neither {CABRNET_ARCHITECTURE} nor the files of a checkpoint"
        raise UserError(what, str(path.parent), "give a file of weights, or a folder that CaBRNet wrote")
    found = read_yaml_file(path)
    if not isinstance(found, dict):
        raise UserError("the description of the model is not a table of keys", str(path), "use it as CaBRNet wrote it")
    return found


def _gather(content: Any, where: str, prefix: str, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:  # noqa: ANN401
    """Collect the tensors and plain settings of what was read."""
    if prefix.count(".") > _DEEPEST:
        raise UserError("modules lie in each other without end", where, _FIX)
    if isinstance(content, StandIn):
        state = vars(content)
        settings[prefix + _CLASS] = type(content).__name__
        for group in ("_parameters", "_buffers"):
            for name, tensor in _table(state.get(group)):
                if isinstance(tensor, Tensor):
                    tensors[prefix + name] = tensor
        for name, child in _table(state.get("_modules")):
            if child is not None:
                _gather(child, where, f"{prefix}{name}.", tensors, settings)
        settings.update({prefix + name: value for name, value in _table(state) if _is_setting(value)})
        return
    table = dict(_table(content))
    inner = next((table[name] for name in _WRAPPERS if isinstance(table.get(name), Mapping | StandIn)), None)
    if inner is not None and not prefix:
        _gather(inner, where, "", tensors, settings)
        return
    found = {name: value for name, value in table.items() if isinstance(value, Tensor)}
    if not isinstance(content, Mapping) or len(found) < len(content):
        raise UserError("the file holds neither a state dict nor a model", where, _FIX)
    tensors.update({prefix + name: tensor for name, tensor in found.items()})


def _table(content: object) -> list[tuple[str, Any]]:
    return (
        [(name, value) for name, value in content.items() if type(name) is str] if isinstance(content, Mapping) else []
    )


def _is_setting(value: object) -> bool:
    return type(value) in (bool, int, float, str) or isinstance(value, Tensor)


def _unwrapped(table: dict[str, Any]) -> dict[str, Any]:
    """Without the prefix that training on several devices puts before all names."""
    wrapped = all(name.startswith("module.") for name in table if "." in name) and "module.training" in table
    if wrapped or all(name.startswith("module.") for name in table):
        return {name.removeprefix("module."): value for name, value in table.items()}
    return table
