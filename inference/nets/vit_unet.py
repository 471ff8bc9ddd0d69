"""A vision transformer with a decoder of convolutions, as a baseline.

Patches of 16 x 16 pixels are tokens (Dosovitskiy et al. 2021); after twelve layers of
full attention four steps of nearest neighbour and convolution bring them back to the
size of the image (Zheng et al. 2021). Positions are sines and cosines of row and
column, so frames of any size fit.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.architectures import ViTUNetShape
from inference.nets.attention_unet import SelfAttention
from inference.nets.stem_unet import PLANES
from inference.nets.unet import convolution

PATCH = 16
LAYERS = 12
_SIZES = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}  # width, heads


class ViTUNet(nn.Module):
    """Normalised image ``(B, 1, H, W)`` to planes ``(B, planes, H, W)``.

    H and W are multiples of 16; a frame has at most 64 x 64 patches.
    """

    def __init__(self, shape: ViTUNetShape, planes: int = PLANES) -> None:
        super().__init__()
        width, heads = _SIZES[shape.size]
        self.patches = nn.Conv2d(1, width, kernel_size=PATCH, stride=PATCH)
        self.layers = nn.Sequential(
            *(
                SelfAttention(width, "full", heads=heads, feed_forward=4)
                for _ in range(LAYERS)
            )
        )
        self.norm = nn.LayerNorm(width)
        widths = (width, *(width // share for share in (3, 6, 12, 24)))
        self.up = nn.ModuleList(
            convolution(coarse, fine, nn.ReLU(inplace=True))
            for coarse, fine in itertools.pairwise(widths)
        )
        self.head = nn.Conv2d(widths[-1], planes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Give the planes."""
        x = self.patches(image)  # (B, C, H/16, W/16)
        x = self.layers(x + positions(x))
        x = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        for up in self.up:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = up(x)  # (B, C/3, H/8, W/8) to (B, C/24, H, W)
        return self.head(x)


def positions(x: Tensor) -> Tensor:
    """Give sines and cosines of row and column ``(C, H, W)`` for ``(B, C, H, W)``."""
    quarter = x.shape[1] // 4
    steps = torch.arange(quarter, device=x.device)
    frequencies = torch.exp(steps * (-math.log(10_000.0) / quarter))  # (C/4,)
    rows = _waves(torch.arange(x.shape[2], device=x.device), frequencies)  # (H, C/2)
    columns = _waves(torch.arange(x.shape[3], device=x.device), frequencies)
    rows = functional.pad(rows, (0, 2 * quarter))[:, None]  # (H, 1, C)
    columns = functional.pad(columns, (2 * quarter, 0))[None]  # (1, W, C)
    return (rows + columns).permute(2, 0, 1)  # (C, H, W)


def _waves(places: Tensor, frequencies: Tensor) -> Tensor:
    angles = places[:, None] * frequencies  # (places, C/4)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
