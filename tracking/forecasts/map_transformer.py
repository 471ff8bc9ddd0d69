"""The map of live and dead cells some frames ahead, by patches: the paper's network.

An encoder looks at the last maps, a decoder asks it what every patch will be (queries,
cross-attention), and each pixel gets a class. A token is a patch of all the last maps
at once: tokens of every map would be five times as many, with twenty-five times the
attention. What is given is added to the newest map, so an untrained network copies it.

Needs torch: import this file only where the network is wanted.
"""

import torch
from torch import Tensor, nn

from tracking.forecasts.map_card import CLASSES, MapShape

COPIED = 3.0
"""Logit of the class that a pixel has now, to begin with: 95 % stay."""


def _cut(maps: Tensor, patch: int) -> Tensor:
    """Give the patches (B, patch, T * pixel) of maps (B, T, Y, X)."""
    cut = maps.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # (B, T, R, p, C, p)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, RC, Tpp)


class MapTransformer(nn.Module):
    """Scores of the classes of every pixel some frames ahead."""

    def __init__(self, shape: MapShape) -> None:
        super().__init__()
        self.shape = shape
        width, pixels = shape.width, shape.patch**2
        patches = (shape.edge // shape.patch) ** 2
        seen = shape.frames * (CLASSES - 1) * pixels
        self.see = nn.Linear(seen, width)
        self.place = nn.Parameter(0.02 * torch.randn(1, patches, width))
        self.query = nn.Parameter(0.02 * torch.randn(1, patches, width))
        how = {"dropout": 0.0, "batch_first": True, "norm_first": True}
        encode = nn.TransformerEncoderLayer(width, shape.heads, 2 * width, **how)
        decode = nn.TransformerDecoderLayer(width, shape.heads, 2 * width, **how)
        self.encoder = nn.TransformerEncoder(
            encode, shape.layers, enable_nested_tensor=False
        )
        self.decoder = nn.TransformerDecoder(decode, shape.layers)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, CLASSES * pixels)
        self.copied = nn.Parameter(torch.tensor(COPIED))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Give logits (B, class, Y, X) from the last maps (B, T, Y, X), newest last.

        Maps hold 0 (nothing), 1 (live), 2 (dead).
        """
        patch, rows = self.shape.patch, self.shape.edge // self.shape.patch
        kinds = [maps == kind for kind in range(1, CLASSES)]
        seen = _cut(torch.cat(kinds, dim=1).float(), patch)  # (B, N, T * 2 * pp)
        x = self.see(seen) + self.place  # (B, N, C)
        x = self.encoder(x)  # (B, N, C)
        asked = (self.query + self.place).expand_as(x)  # (B, N, C)
        x = self.norm(self.decoder(asked, x))  # (B, N, C)
        x = self.out(x).unflatten(2, (CLASSES, patch, patch))  # (B, N, K, p, p)
        x = x.unflatten(1, (rows, rows)).permute(0, 3, 1, 4, 2, 5)  # (B, K, R, p, C, p)
        x = x.flatten(4, 5).flatten(2, 3)  # (B, K, Y, X)
        now = torch.stack([maps[:, -1] == kind for kind in range(CLASSES)], dim=1)
        return x + self.copied * now
