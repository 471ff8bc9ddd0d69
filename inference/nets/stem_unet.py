"""A U-Net behind a pixel-unshuffle stem: wide layers at a quarter of the resolution.

Thin layers at full resolution are bound by memory, wide ones at a quarter are nearly
free on processors with matrix units, so the stem folds 4 x 4 pixels into channels and
the head unfolds them again (U-Net: Ronneberger et al. 2015; pixel shuffle: Shi et al.
2016). Two convolutions with batch normalisation a level, nearest neighbour upwards.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

PLANES = 4
"""Logits of background, live and dead, and the separation distance."""


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    """3 x 3 convolution, batch normalisation, ReLU; keeps the size."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions."""
    return nn.Sequential(_convolution(inputs, outputs), _convolution(outputs, outputs))


class StemUNet(nn.Module):
    """Normalised image ``(B, 1, H, W)`` to planes ``(B, planes, H, W)``.

    H and W are multiples of ``stem * 2**levels``. Widths are ``base * 2**level``.
    """

    def __init__(
        self, stem: int = 4, base: int = 32, levels: int = 3, planes: int = PLANES
    ) -> None:
        super().__init__()
        self.stem = stem
        widths = [base * 2**level for level in range(levels + 1)]
        inputs = [stem * stem, *widths[:-1]]
        self.down = nn.ModuleList(map(_block, inputs, widths))
        self.up = nn.ModuleList(
            _block(fine + coarse, fine) for fine, coarse in itertools.pairwise(widths)
        )
        self.head = nn.Conv2d(widths[0], planes * stem * stem, kernel_size=1)

    def folded(self, image: Tensor) -> Tensor:
        """Give the planes before they are unfolded, ``(B, planes s s, H/s, W/s)``."""
        x = functional.pixel_unshuffle(image, self.stem)  # (B, s s, H/s, W/s)
        kept: list[Tensor] = []
        for level, block in enumerate(self.down):
            if level:
                x = functional.max_pool2d(x, 2)
            x = block(x)  # (B, base 2^level, H/s/2^level, W/s/2^level)
            kept.append(x)
        for block, skip in zip(reversed(self.up), reversed(kept[:-1]), strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([skip, x], dim=1))
        return self.head(x)

    def forward(self, image: Tensor) -> Tensor:
        """Give the planes at full resolution."""
        return functional.pixel_shuffle(self.folded(image), self.stem)
