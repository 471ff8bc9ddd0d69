"""The self-attention U-Net: a U-Net whose levels also look at distant pixels.

Each level is two convolutions with batch normalisation and GELU, then an attention
block: layer norm, four heads of softmax(Q K' / sqrt(d)) V, sum, layer norm, linear,
GELU, linear, sum. Full attention costs (H W)^2, so a level chooses what its pixels
look at: every pixel (``full``), a 16 x 16 grid of means (``pooled``), the own 16 x 16
window (``window``: shifted by half a window on the way up, so that information crosses
the borders of the way down), or nothing (``none``).

Positions are not encoded. The convolutions know the surroundings of a pixel, a cell
looks the same wherever it lies in the field, and a network without positions serves
frames of any size.

Convolutions have the names of :class:`inference.nets.unet.UNet`, so the weights of a
plain U-Net of the same widths fit as a start.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.architectures import Attention, AttentionUNetShape, check_tokens
from inference.nets.stem_unet import PLANES
from inference.nets.unet import block

HEADS = 4
WINDOW = 16
"""Tokens a side of a window."""
GRID = 16
"""Tokens a side of the grid of means of pooled attention."""
_MASKED = -1e4
"""Added to the score of a token that is not there; bfloat16 and half can hold it."""


class SelfAttention(nn.Module):
    """Features ``(B, C, H, W)`` to features of the same shape."""

    def __init__(
        self,
        width: int,
        mode: Attention,
        shift: int = 0,
        heads: int = HEADS,
        feed_forward: int = 2,
    ) -> None:
        super().__init__()
        self.mode, self.shift, self.heads = mode, shift, heads
        self.before = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.join = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, feed_forward * width),
            nn.GELU(),
            nn.Linear(feed_forward * width, width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Give the features after attention and feed-forward."""
        x = features.permute(0, 2, 3, 1)  # (B, H, W, C)
        x = x + self.join(self._attend(self.before(x)))
        x = x + self.feed_forward(self.between(x))
        return x.permute(0, 3, 1, 2)  # (B, C, H, W)

    def _attend(self, x: Tensor) -> Tensor:
        """Give what every token ``(B, H, W, C)`` reads from those it looks at."""
        if self.mode == "window":
            return self._attend_in_windows(x)
        seen = x
        if self.mode == "pooled":
            grid = functional.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), GRID)
            seen = grid.permute(0, 2, 3, 1)  # (B, 16, 16, C)
        elif not torch.jit.is_tracing():  # sizes are no numbers then
            check_tokens(x.shape[1], x.shape[2])
        read = self._read(x.flatten(1, 2), seen.flatten(1, 2), None)  # (B, H W, C)
        return read.reshape(x.shape)

    def _attend_in_windows(self, x: Tensor) -> Tensor:
        """Attend within windows; those at the border hold tokens that are not there."""
        (batch, height, width), shift = x.shape[:3], self.shift
        tokens = _windows(x, shift)  # (B windows, 256, C)
        there = _windows(torch.ones_like(x[..., :1]), shift)  # (B windows, 256, 1)
        mask = ((1.0 - there) * _MASKED).transpose(1, 2)[:, None]  # (B windows,1,1,256)
        read = self._read(tokens, tokens, mask)
        rows, columns = _count(height, shift), _count(width, shift)
        read = read.reshape(batch, rows, columns, WINDOW, WINDOW, -1)
        read = read.permute(0, 1, 3, 2, 4, 5)  # (B, rows, 16, columns, 16, C)
        read = read.reshape(batch, rows * WINDOW, columns * WINDOW, -1)
        return read[:, shift : height + shift, shift : width + shift]  # (B, H, W, C)

    def _read(self, tokens: Tensor, seen: Tensor, mask: Tensor | None) -> Tensor:
        """Let tokens ``(B, N, C)`` read from those they see ``(B, M, C)``."""
        query = self._split(self.query(tokens))  # (B, heads, N, C/heads)
        key, value = map(self._split, self.key_value(seen).chunk(2, dim=-1))
        read = functional.scaled_dot_product_attention(query, key, value, mask)
        return read.transpose(1, 2).flatten(2)  # (B, N, C)

    def _split(self, x: Tensor) -> Tensor:
        """Part the channels ``(B, N, C)`` among the heads."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _count(side: int, shift: int) -> int:
    """Give how many windows cover a side of a map."""
    return (side + shift + WINDOW - 1) // WINDOW


def _windows(x: Tensor, shift: int) -> Tensor:
    """Cut ``(B, H, W, C)`` into windows ``(B windows, 256, C)``, zeros around it."""
    (batch, height, width), after = x.shape[:3], WINDOW - 1
    rows, columns = _count(height, shift), _count(width, shift)
    # Always the same padding, of which the surplus is cut: sizes stay free in a graph.
    x = functional.pad(x, (0, 0, shift, after, shift, after))
    x = x[:, : rows * WINDOW, : columns * WINDOW]
    x = x.reshape(batch, rows, WINDOW, columns, WINDOW, -1)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(batch * rows * columns, WINDOW**2, -1)


def _attention(shape: AttentionUNetShape, level: int, shift: int) -> nn.Module:
    """Make the attention block of a level."""
    mode = shape.attention[level]
    if mode == "none":
        return nn.Identity()
    width = shape.widths[level]
    return SelfAttention(width, mode, shift, feed_forward=shape.feed_forward)


class AttentionUNet(nn.Module):
    """Normalised image ``(B, 1, H, W)`` to planes ``(B, planes, H, W)``.

    H and W are multiples of ``stem * 2**(levels - 1)``.
    """

    def __init__(self, shape: AttentionUNetShape, planes: int = PLANES) -> None:
        super().__init__()
        self.stem = shape.stem
        widths, fold = shape.widths, shape.stem**2
        inputs = (fold, *widths[:-1])
        self.down = nn.ModuleList(
            block(before, width, nn.GELU())
            for before, width in zip(inputs, widths, strict=True)
        )
        self.rise = nn.ModuleList(
            nn.ConvTranspose2d(coarse, fine, kernel_size=2, stride=2)
            for fine, coarse in itertools.pairwise(widths)
        )
        finer = range(len(widths) - 1)
        self.up = nn.ModuleList(
            block(2 * widths[level], widths[level], nn.GELU()) for level in finer
        )
        self.attend_down = nn.ModuleList(
            _attention(shape, level, shift=0) for level in range(len(widths))
        )
        self.attend_up = nn.ModuleList(
            _attention(shape, level, shift=WINDOW // 2) for level in finer
        )
        self.head = nn.Conv2d(widths[0], planes * fold, kernel_size=1)

    def folded(self, image: Tensor) -> Tensor:
        """Give the planes before they are unfolded, ``(B, planes s s, H/s, W/s)``."""
        x = image
        if self.stem > 1:
            x = functional.pixel_unshuffle(image, self.stem)  # (B, s s, H/s, W/s)
        kept: list[Tensor] = []
        for level, down in enumerate(self.down):
            if level:
                x = functional.max_pool2d(x, 2)
            x = self.attend_down[level](down(x))  # (B, widths[level], H/s/2^level, ..)
            kept.append(x)
        for level in reversed(range(len(self.up))):
            x = self.rise[level](x)  # (B, widths[level], H/s/2^level, W/s/2^level)
            x = self.up[level](torch.cat([kept[level], x], dim=1))
            x = self.attend_up[level](x)
        return self.head(x)

    def forward(self, image: Tensor) -> Tensor:
        """Give the planes at full resolution."""
        planes = self.folded(image)
        return functional.pixel_shuffle(planes, self.stem) if self.stem > 1 else planes
