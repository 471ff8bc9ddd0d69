"""One plain decoder under any of six published encoders, for comparing them.

With DenseNet121 it is the first of the three brightfield networks. A step upwards is a
transposed convolution, batch normalisation and ReLU; then the features of the encoder
are joined, and a convolution with batch normalisation and ReLU mixes the two. Spatial
dropout rises from the coarsest step to the finest. A last transposed convolution leads
to the size of the image.

The papers bring features to the size of the way up by bilinear interpolation: here
sides are multiples of 32 and encoders pad, so the sizes agree.
"""

from typing import Self

import torch
from torch import Tensor, nn

from inference.architectures import EncoderUNetShape
from inference.nets.encoders import build_encoder
from inference.nets.stem_unet import PLANES
from inference.nets.unet import convolution

_DROPOUT = (0.25, 0.33, 0.42, 0.5)
"""Of each step upwards, the coarsest first."""


def _rise(inputs: int, width: int) -> nn.Sequential:
    """Transposed convolution to twice the size, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.ConvTranspose2d(
            inputs, width, 3, stride=2, padding=1, output_padding=1, bias=False
        ),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


class Step(nn.Module):
    """One step upwards, to the size of the features that it joins."""

    def __init__(self, inputs: int, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.rise = _rise(inputs, width)
        self.mix = convolution(features + width, width, nn.ReLU(inplace=True))
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """Give ``(B, width, 2 h, 2 w)``."""
        return self.dropout(self.mix(torch.cat([features, self.rise(x)], dim=1)))


class EncoderUNet(nn.Module):
    """Normalised image ``(B, 1, H, W)`` to planes ``(B, planes, H, W)``.

    H and W are multiples of 32. The published networks are ``planes=1``: one logit.
    """

    def __init__(self, shape: EncoderUNetShape, planes: int = PLANES) -> None:
        super().__init__()
        self.frozen = shape.frozen_encoder
        self.encoder = build_encoder(shape.encoder).requires_grad_(not self.frozen)
        *widths, bridge = self.encoder.widths
        inputs, last = (bridge, *shape.decoder[:-1]), shape.decoder[-1]
        self.up = nn.ModuleList(
            map(Step, inputs, reversed(widths), shape.decoder, _DROPOUT)
        )
        self.rise = _rise(last, last)
        self.head = nn.Conv2d(last, planes, kernel_size=1)

    def train(self, mode: bool = True) -> Self:
        """Prepare for training; a frozen encoder keeps its running statistics."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Give the planes."""
        *features, x = self.encoder(image)  # strides 2, 4, 8, 16; 32
        for step, joined in zip(self.up, reversed(features), strict=True):
            x = step(x, joined)
        return self.head(self.rise(x))
