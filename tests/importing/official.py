"""Stand-ins for official models: their names of tensors and their formulas, on backbones of torchvision.

Modules are named as official code names its own while they are pickled, and are forgotten afterwards, as on a computer
that does not have that code.
"""

import sys
import types
from contextlib import contextmanager

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

CLASSES, SIZE = 4, 64


CHANNELS = 128
"""Of the backbone, which is cut after its second layer, so that files are small."""


def resnet18(whole=False):
    net = torchvision.models.resnet18()
    net.avgpool, net.fc = nn.Identity(), nn.Identity()
    if not whole:
        net.layer3, net.layer4 = nn.Identity(), nn.Identity()
    return net


def maps_of_resnet(net, x):
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    return net.layer4(net.layer3(net.layer2(net.layer1(x))))


def convolution(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 1)


def randomised(model, seed=0):
    """Batch norms that are not those of a fresh network, and large weights after the backbone; in eval mode."""
    torch.manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if "bn" in name and tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) * 0.4 + (0.0 if name.endswith(("bias", "mean")) else 0.5))
        elif name.endswith(("_classification.weight", "reasoning_probabilities")):
            tensor.mul_(6)
        elif name.startswith(("add_on", "_add_on", "last_layer", "activation_weight")):
            tensor.copy_(torch.randn_like(tensor) * (1.0 if tensor.dim() < 3 else 2 / tensor.shape[1] ** 0.5))
    return model.eval()


class PPNet(nn.Module):
    def __init__(self, per_class=3, depth=8, size=1, features=None):
        super().__init__()
        count = per_class * CLASSES
        self.img_size, self.num_classes, self.epsilon = SIZE, CLASSES, 1e-4
        self.prototype_activation_function = "log"
        self.prototype_class_identity = torch.eye(CLASSES).repeat_interleave(per_class, 0)
        self.features = features or resnet18()
        self.add_on_layers = nn.Sequential(
            convolution(CHANNELS, depth), nn.ReLU(), convolution(depth, depth), nn.Sigmoid()
        )
        self.prototype_vectors = nn.Parameter(torch.rand(count, depth, size, size))
        self.ones = nn.Parameter(torch.ones(count, depth, size, size), requires_grad=False)
        self.last_layer = nn.Linear(count, CLASSES, bias=False)
        self.own_layer()

    def own_layer(self):
        """Weights of one and minus a half, as at first."""
        own = self.prototype_class_identity.T
        self.last_layer.weight.data = own - 0.5 * (1 - own)

    def forward(self, x):
        z = self.add_on_layers(maps_of_resnet(self.features, x))
        p = self.prototype_vectors
        d = F.relu(F.conv2d(z**2, self.ones) - 2 * F.conv2d(z, p) + (p**2).sum((1, 2, 3))[:, None, None])
        d = d.amin((2, 3))
        return self.last_layer(torch.log((d + 1) / (d + self.epsilon)))

    def prune(self, kept):
        self.prototype_vectors.data = self.prototype_vectors.data[kept]
        self.ones.data = self.ones.data[kept]
        self.last_layer.weight.data = self.last_layer.weight.data[:, kept]
        self.prototype_class_identity = self.prototype_class_identity[kept]


class TESNet(PPNet):
    """With the tensors and attributes of ProtoPNet."""

    def forward(self, x):
        z = self.add_on_layers(maps_of_resnet(self.features, x))
        return self.last_layer(F.conv2d(z, F.normalize(self.prototype_vectors, dim=1)).amax((2, 3)))


class STProtoPNet(nn.Module):
    def __init__(self, full=False, per_class=2, depth=8):
        super().__init__()
        self.full, self.img_size = full, SIZE
        self.features = resnet18()
        for branch in ("trivial", "support"):
            layers = [convolution(CHANNELS, depth), nn.Tanh(), convolution(depth, depth), nn.Tanh()]
            if full:
                layers = [nn.Upsample(scale_factor=2, mode="bilinear"), layers[0], layers[2]]
            setattr(self, f"add_on_layers_{branch}", nn.Sequential(*layers))
            setattr(self, f"prototype_vectors_{branch}", nn.Parameter(torch.rand(per_class * CLASSES, depth, 1, 1)))
            setattr(self, f"last_layer_{branch}", nn.Linear(per_class * CLASSES, CLASSES, bias=False))
        self.ones = nn.Parameter(torch.ones(per_class * CLASSES, depth, 1, 1), requires_grad=False)

    def forward(self, x):
        maps, logits = maps_of_resnet(self.features, x), 0
        for branch in ("trivial", "support"):
            z = getattr(self, f"add_on_layers_{branch}")(maps)
            z = F.normalize(z, dim=1) if self.full else z
            s = F.conv2d(z, F.normalize(getattr(self, f"prototype_vectors_{branch}"), dim=1)).amax((2, 3))
            logits = logits + getattr(self, f"last_layer_{branch}")(s.relu() if self.full else s)
        return logits


class OursNet(nn.Module):
    def __init__(self, per_class=3, depth=8):
        super().__init__()
        self.num_classes, self.img_size = CLASSES, SIZE
        self.features = resnet18()
        self.add_on_layers = nn.Sequential(convolution(CHANNELS, depth), nn.Sigmoid())
        self.prototype_vectors = nn.Parameter(torch.rand(per_class * CLASSES, depth, 1, 1))
        self.ones = nn.Parameter(torch.ones(per_class * CLASSES, depth, 1, 1), requires_grad=False)
        self.activation_weight = nn.Parameter(torch.rand(per_class * CLASSES))

    def forward(self, x):
        z = self.add_on_layers(maps_of_resnet(self.features, x))
        a = F.conv2d(z, F.normalize(self.prototype_vectors, dim=1)).amax((2, 3)).unflatten(1, (CLASSES, -1))
        share = self.activation_weight.view(CLASSES, -1).softmax(1)
        return (a * share).sum(2) * share.shape[1]


class PrototypeChooser(nn.Module):
    def __init__(self, count=9, slots=3, depth=8):
        super().__init__()
        self.proto_presence = nn.Parameter(torch.randn(CLASSES, count, slots))
        self.features = resnet18()
        self.add_on_layers = nn.Sequential(convolution(CHANNELS, depth), nn.Sigmoid())
        self.prototype_vectors = nn.Parameter(torch.rand(count, depth, 1, 1))
        self.ones = nn.Parameter(torch.ones(count, depth, 1, 1), requires_grad=False)
        self.last_layer = nn.Linear(CLASSES * slots, CLASSES, bias=False)

    def forward(self, x):
        z, p = self.add_on_layers(maps_of_resnet(self.features, x)), self.prototype_vectors
        d = F.relu(F.conv2d(z**2, self.ones) - 2 * F.conv2d(z, p) + (p**2).sum((1, 2, 3))[:, None, None])
        chosen = self.proto_presence.argmax(1)
        near, far = (found[:, chosen.flatten()] for found in (d.amin((2, 3)), d.mean((2, 3))))
        s = torch.log((near + 1) / (near + 1e-4)) - torch.log((far + 1) / (far + 1e-4))
        return self.last_layer(s)


class NonNegLinear(nn.Module):
    def __init__(self, inputs, softmax_pool):
        super().__init__()
        self.softmax_pool = softmax_pool
        self.weight = nn.Parameter(torch.rand(CLASSES, inputs))
        self.normalization_multiplier = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return F.linear(x, self.weight.softmax(1) if self.softmax_pool else self.weight.relu())


class SlimClassificationByComponents(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.reasoning_probabilities = nn.Parameter(torch.randn(2 * inputs, CLASSES))
        self.register_buffer("reasoning_labels", torch.eye(CLASSES))
        self.normalization_multiplier = nn.Parameter(torch.ones(1))

    def forward(self, x):
        positive, negative = self.reasoning_probabilities.softmax(0).chunk(2)
        return x @ (positive - negative) + negative.sum(0)


def unstrided(net):
    """Strides of the last two stages are one."""
    for layer in (net.layer3, net.layer4):
        for module in layer.modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
    return net


class PIPNet(nn.Module):
    def __init__(self, head="rectified", components=0):
        super().__init__()
        self._net = unstrided(resnet18(whole=True))
        layers = [convolution(512, components)] if components else []
        self._add_on = nn.Sequential(*layers, nn.Softmax(dim=1))
        count = components or 512
        cbc = head == "reasoning"
        self._classification = SlimClassificationByComponents(count) if cbc else NonNegLinear(count, head == "softmax")
        self._multiplier = self._classification.normalization_multiplier

    def forward(self, x):
        found = self._add_on(maps_of_resnet(self._net, x)).amax((2, 3))
        return self._classification(torch.where(found < 0.1, 0.0, found))


OFFICIAL = (PPNet, TESNet, STProtoPNet, OursNet, PrototypeChooser, PIPNet, NonNegLinear, SlimClassificationByComponents)


@contextmanager
def official_code():
    """Classes are those of a module `model`, as in official code, which nobody knows afterwards."""
    module = types.ModuleType("model")
    with_names = {cls: (cls.__module__, cls.__qualname__) for cls in OFFICIAL}
    for cls in OFFICIAL:
        cls.__module__ = "model"
        setattr(module, cls.__name__, cls)
    sys.modules["model"] = module
    try:
        yield
    finally:
        del sys.modules["model"]
        for cls, (name, _) in with_names.items():
            cls.__module__ = name


def save_whole(model, path):
    """As `torch.save(model)` of official code."""
    with official_code():
        torch.save(model, path)
    return path


def save_state(model, path, wrapped=False):
    """The state dict alone, or as PIP-Net's code keeps it."""
    state = model.state_dict()
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save(
        {"model_state_dict": parallel, "optimizer_network_state_dict": {"state": {}}} if wrapped else state, path
    )
    return path
