"""A small convolutional autoencoder that halves pictures and doubles them again.

Li et al. 2018, "Deep Learning for Case-Based Reasoning through Prototypes".  All layers are 3x3 with stride 2 and
"SAME" padding: side n becomes ceil(n / 2), and where the padding is odd the larger part follows the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from timm.layers import Conv2dSame
from timm.models import register_model
from torch import Tensor, nn

WIDTH = 32
"""Maps between the layers."""
_INITIAL_DEVIATION = 0.01


def halved(side: int, times: int) -> list[int]:
    """The side and what is left of it after each halving, rounded up: 28 -> 28, 14, 7, 4, 2."""
    sides = [side]
    for _ in range(times):
        sides.append(-(-sides[-1] // 2))
    return sides


class ConvEncoder(nn.Module):
    """Pictures [B,C,S,S] in [0, 1] -> features [B,D,H,W], each layer followed by ReLU.

    It offers what `Backbone` asks of a timm model.

    Args:
        maps: Output maps of each layer.
        channels: Of the pictures.
    """

    def __init__(self, maps: Sequence[int] = (WIDTH, WIDTH, WIDTH, 10), channels: int = 3) -> None:
        super().__init__()
        inputs = (channels, *maps[:-1])
        self.layers = nn.ModuleList(
            nn.Sequential(initialised(Conv2dSame(n, m, 3, stride=2)), nn.ReLU())
            for n, m in zip(inputs, maps, strict=True)
        )
        self.feature_info = [
            {"num_chs": count, "reduction": 2 ** (i + 1), "module": f"layers.{i}"} for i, count in enumerate(maps)
        ]
        self.pretrained_cfg = {"mean": (0.0,) * channels, "std": (1.0,) * channels, "classifier": None}

    def forward(self, pictures: Tensor) -> Tensor:
        return self.forward_intermediates(pictures, [len(self.layers) - 1])[-1]

    def forward_intermediates(
        self, pictures: Tensor, indices: Sequence[int], intermediates_only: bool = True, stop_early: bool = True
    ) -> list[Tensor]:
        """The outputs of some layers; layers after the last of them are not computed."""
        outputs = [pictures]
        for layer in list(self.layers)[: max(indices) + 1]:
            outputs.append(layer(outputs[-1]))
        return [outputs[i + 1] for i in indices]

    def prune_intermediate_layers(self, indices: Sequence[int], prune_head: bool = False) -> None:
        """Forget the layers after the last of some."""
        self.layers = self.layers[: max(indices) + 1]


@register_model
def conv_encoder(pretrained: bool = False, **_: object) -> ConvEncoder:
    """The published encoder for pictures of three channels; it has no pretrained weights."""
    return ConvEncoder()


class ConvDecoder(nn.Module):
    """Latent maps [B,D,H,W] -> pictures [B,C,S,S] in [0, 1]: transposed convolutions, ReLU between, sigmoid at the end.

    Args:
        depth: D.
        channels: C.
        side: S.
        layers: Number of them; H and W are S halved so often.
    """

    def __init__(self, depth: int, channels: int, side: int, layers: int) -> None:
        super().__init__()
        self.sides = halved(side, layers)[-2::-1]
        counts = [depth, *[WIDTH] * (layers - 1), channels]
        self.layers = nn.ModuleList(initialised(nn.ConvTranspose2d(n, m, 3, stride=2)) for n, m in pairwise(counts))

    def forward(self, z: Tensor) -> Tensor:
        for number, (layer, side) in enumerate(zip(self.layers, self.sides, strict=True), 1):
            z = _middle(layer(z), side)
            z = z.sigmoid() if number == len(self.layers) else z.relu()
        return z


def initialised(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """Filters N(0, 0.01), biases 0."""
    nn.init.normal_(layer.weight, 0, _INITIAL_DEVIATION)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _middle(x: Tensor, side: int) -> Tensor:
    """What "SAME" padding leaves of an unpadded transposed convolution [B,C,n,n]: the odd pixel is cut at the end."""
    first = (x.shape[2] - side) // 2
    return x[:, :, first : first + side, first : first + side]
