"""A VGG16 encoder with a decoder of attention gates, for brightfield.

The encoder is that of Simonyan and Zisserman (2015) without its classifier; it may be
frozen. A step upwards is a transposed convolution, an attention gate on the features
from the encoder, a residual block, an added 1 x 1 convolution that stresses what
matters, and spatial dropout, which grows with depth. Features are taken after each of
the five poolings, so the last step has none to join.
"""

import torch
from torch import Tensor, nn

from inference.architectures import Norm, VGGUNetShape
from inference.nets.attention_gate import AttentionGate
from inference.nets.stem_unet import PLANES
from inference.nets.vgg16 import VGG16

_DROPOUT = (0.4, 0.35, 0.3, 0.25, 0.2)
"""Of each step upwards, the coarsest first."""


def _norm(kind: Norm, width: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(width)
    return nn.InstanceNorm2d(width, affine=True)


class Residual(nn.Module):
    """Two convolutions with normalisation and ReLU, added to a projection."""

    def __init__(self, inputs: int, width: int, norm: Norm) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(inputs, width, 3, padding=1, bias=False),
            _norm(norm, width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            _norm(norm, width),
            nn.ReLU(inplace=True),
        )
        self.project = nn.Conv2d(inputs, width, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Give ``(B, width, h, w)``."""
        return self.project(x) + self.convolutions(x)


class Step(nn.Module):
    """One step upwards, to the size of the features that it joins."""

    def __init__(
        self, inputs: int, features: int, width: int, norm: Norm, dropout: float
    ) -> None:
        super().__init__()
        self.rise = nn.ConvTranspose2d(
            inputs, width, kernel_size=3, stride=2, padding=1, output_padding=1
        )
        self.gate = AttentionGate(features, width) if features else None
        self.residual = Residual(width + features, width, norm)
        self.stress = nn.Sequential(
            nn.Conv2d(width, width, kernel_size=1, bias=False),
            _norm(norm, width),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor, features: Tensor | None) -> Tensor:
        """Give ``(B, width, 2 h, 2 w)``."""
        x = self.rise(x)
        if self.gate is not None and features is not None:
            x = torch.cat([self.gate(features, x), x], dim=1)
        x = self.residual(x)
        return self.dropout(x + self.stress(x))


class VGGUNet(nn.Module):
    """Normalised image ``(B, 1, H, W)`` to planes ``(B, planes, H, W)``.

    H and W are multiples of 32. The published network is ``planes=1``: one logit.
    """

    def __init__(self, shape: VGGUNetShape, planes: int = PLANES) -> None:
        super().__init__()
        self.encoder = VGG16().requires_grad_(not shape.frozen_encoder)
        pooled = VGG16.widths
        self.up = nn.ModuleList(
            map(
                Step,
                (pooled[-1], *shape.decoder[:-1]),
                (*reversed(pooled[:-1]), 0),
                shape.decoder,
                shape.norms,
                _DROPOUT,
            )
        )
        self.head = nn.Conv2d(shape.decoder[-1], planes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Give the planes."""
        *pooled, x = self.encoder(image)  # strides 2, 4, 8, 16; 32
        joined = [*reversed(pooled), None]
        for step, features in zip(self.up, joined, strict=True):
            x = step(x, features)
        return self.head(x)
