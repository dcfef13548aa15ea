"""The classes that official code saves within whole models, in whose place a `StandIn` may be put.

A stand-in runs nothing, whatever its name; the lists are short so that a file which names anything else is refused.
"""

from __future__ import annotations

_LIBRARIES = ("torch.nn.modules.", "torch.nn.parallel.", "torchvision.models.", "torchvision.ops.")
"""Whose classes are layers that hold tensors."""
_MODULES = {
    *("__main__", "model", "models", "pipnet", "prototree", "deep_cbc", "util"),
    *("features", "resnet_features", "vgg_features", "densenet_features"),
}
"""First parts of the names of modules of official code."""
_CLASSES = {
    *("PPNet", "STProtoPNet", "TESNet", "OursNet", "PrototypeChooser"),
    *("PIPNet", "NonNegLinear", "CBCNet", "SlimClassificationByComponents"),
    *("ProtoTree", "Branch", "Leaf", "L2Conv2D"),
    *("ResNet_features", "BasicBlock", "Bottleneck", "VGG_features"),
    *("DenseNet_features", "_DenseBlock", "_DenseLayer", "_Transition"),
}


def is_known_class(name: str) -> bool:
    """Whether a dotted name is that of a class of layers, or of a model or backbone in official code.

    Example:
        >>> is_known_class("model.PPNet"), is_known_class("torch.nn.modules.conv.Conv2d")
        (True, True)
        >>> is_known_class("posix.system"), is_known_class("builtins.eval")
        (False, False)
    """
    module, _, last = name.rpartition(".")
    if name.startswith(_LIBRARIES):
        return last.lstrip("_")[:1].isupper()
    return last in _CLASSES and module.split(".")[0] in _MODULES
