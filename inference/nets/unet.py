"""The classical U-Net (Ronneberger et al. 2015), as a baseline.

Two convolutions with batch normalisation and ReLU a level, maximum pooling downwards,
transposed convolutions upwards. Padded convolutions keep the size of the image.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.architectures import UNetShape
from inference.nets.stem_unet import PLANES


def convolution(inputs: int, outputs: int, activation: nn.Module) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, activation; keeps the size."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        activation,
    )


def block(inputs: int, outputs: int, activation: nn.Module) -> nn.Sequential:
    """Two convolutions."""
    return nn.Sequential(
        convolution(inputs, outputs, activation),
        convolution(outputs, outputs, activation),
    )


class UNet(nn.Module):
    """Normalised image ``(B, 1, H, W)`` to planes ``(B, planes, H, W)``.

    H and W are multiples of ``2**(levels - 1)``.
    """

    def __init__(self, shape: UNetShape, planes: int = PLANES) -> None:
        super().__init__()
        widths, relu = shape.widths, nn.ReLU(inplace=True)
        inputs = (1, *widths[:-1])
        self.down = nn.ModuleList(
            block(before, width, relu)
            for before, width in zip(inputs, widths, strict=True)
        )
        self.rise = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, kernel_size=2, stride=2)
            for fine, coarse in itertools.pairwise(widths)
        )
        self.up = nn.ModuleList(block(2 * fine, fine, relu) for fine in widths[:-1])
        self.head = nn.Conv2d(widths[0], planes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Give the planes."""
        x = image
        kept: list[Tensor] = []
        for level, down in enumerate(self.down):
            if level:
                x = functional.max_pool2d(x, 2)
            x = down(x)  # (B, widths[level], H/2^level, W/2^level)
            kept.append(x)
        for level in reversed(range(len(self.up))):
            x = self.rise[level](x)  # (B, widths[level], H/2^level, W/2^level)
            x = self.up[level](torch.cat([kept[level], x], dim=1))
        return self.head(x)
