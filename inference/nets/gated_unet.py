"""A VGG16 encoder read before its poolings, with gated skips, for brightfield.

The encoder ends at block5_conv3, at a stride of 16; it may be frozen. A step upwards is
a transposed convolution, an attention gate on the features of its size, two
convolutions with batch normalisation and ReLU, and spatial dropout. The finest features
have the size of the image, so outlines need not be guessed from half of it.
"""

import torch
from torch import Tensor, nn

from inference.architectures import GatedUNetShape
from inference.nets.attention_gate import AttentionGate
from inference.nets.stem_unet import PLANES
from inference.nets.unet import block
from inference.nets.vgg16 import VGG16

_DROPOUT = 0.1


class Step(nn.Module):
    """One step upwards, to the size of the features that it joins."""

    def __init__(self, inputs: int, features: int, width: int) -> None:
        super().__init__()
        self.rise = nn.ConvTranspose2d(inputs, width, kernel_size=2, stride=2)
        self.gate = AttentionGate(features, width)
        self.convolutions = block(features + width, width, nn.ReLU(inplace=True))
        self.dropout = nn.Dropout2d(_DROPOUT)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """Give ``(B, width, 2 h, 2 w)``."""
        x = self.rise(x)
        x = torch.cat([self.gate(features, x), x], dim=1)
        return self.dropout(self.convolutions(x))


class GatedUNet(nn.Module):
    """Normalised image ``(B, 1, H, W)`` to planes ``(B, planes, H, W)``.

    H and W are multiples of 16. The published network is ``planes=1``: one logit.
    """

    def __init__(self, shape: GatedUNetShape, planes: int = PLANES) -> None:
        super().__init__()
        self.encoder = VGG16(before_poolings=True)
        self.encoder.requires_grad_(not shape.frozen_encoder)
        *widths, bridge = VGG16.widths
        inputs = (bridge, *shape.decoder[:-1])
        self.up = nn.ModuleList(map(Step, inputs, reversed(widths), shape.decoder))
        self.head = nn.Conv2d(shape.decoder[-1], planes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Give the planes."""
        *features, x = self.encoder(image)  # strides 1, 2, 4, 8; 16
        for step, joined in zip(self.up, reversed(features), strict=True):
            x = step(x, joined)
        return self.head(x)
