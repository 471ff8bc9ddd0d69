"""MobileNetV2 without its classifier (Sandler et al. 2018), as an encoder.

Weights have the names of published files of torch.
"""

from torch import Tensor, nn

_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, repeats and stride of the first repeat: table 2 of the paper."""
_FIRST, _LAST = 32, 1280


def _convolution(
    inputs: int, width: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU that ends at 6."""
    return nn.Sequential(
        nn.Conv2d(
            inputs, width, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(width),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Widen, filter each channel on its own, narrow; and add where the shape stays."""

    def __init__(self, inputs: int, width: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = expansion * inputs
        self.adds = stride == 1 and inputs == width
        self.conv = nn.Sequential(
            *([_convolution(inputs, wide)] if expansion > 1 else []),
            _convolution(wide, wide, kernel=3, stride=stride, groups=wide),
            nn.Conv2d(wide, width, kernel_size=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Give ``(B, width, h / stride, w / stride)``."""
        narrow = self.conv(x)
        return x + narrow if self.adds else narrow


class MobileNetV2(nn.Module):
    """Image ``(B, 1, H, W)`` to five features at strides 2 to 32."""

    widths = (16, 24, 32, 96, _LAST)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(1, _FIRST, kernel=3, stride=2)]
        self.ends: list[int] = []  # layers after which the image is halved
        inputs = _FIRST
        for expansion, width, repeats, stride in _STAGES:
            if stride > 1:
                self.ends.append(len(layers) - 1)
            for repeat in range(repeats):
                first = stride if repeat == 0 else 1
                layers.append(InvertedResidual(inputs, width, expansion, first))
                inputs = width
        layers.append(_convolution(inputs, _LAST))
        self.features = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Give the features, the finest first."""
        x, features = image, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.ends:
                features.append(x)
        return [*features, x]
