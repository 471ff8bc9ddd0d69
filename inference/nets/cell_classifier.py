"""A network that looks at single cells and says whether each is dead.

Residual blocks with squeeze-and-excitation (He et al. 2016; Hu et al. 2018) on a crop
around the cell. What the maps of the segmentation network say of the cell is added to
its answer, with a weight that is fitted when both have learnt.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two convolutions around a shortcut, its channels weighed by what is seen."""

    def __init__(self, inward: int, outward: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inward, outward, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outward),
            nn.SiLU(),
            nn.Conv2d(outward, outward, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outward),
        )
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(outward, outward // 4, 1),
            nn.SiLU(),
            nn.Conv2d(outward // 4, outward, 1),
            nn.Sigmoid(),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inward != outward:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(inward, outward, 1, bias=False),
                nn.BatchNorm2d(outward),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Give (B, outward, H / stride, W / stride)."""
        y = self.body(x)
        return functional.silu(self.shortcut(x) + y * self.weigh(y))


def blocks(base: int) -> nn.Sequential:
    """Give five blocks from ``base`` channels to four times as many, at a quarter."""
    return nn.Sequential(
        Block(base, base, 1),
        Block(base, 2 * base, 2),
        Block(2 * base, 2 * base, 1),
        Block(2 * base, 4 * base, 2),
        Block(4 * base, 4 * base, 1),
    )


class CellClassifier(nn.Module):
    """Crops ``(B, 2, edge, edge)`` of grey level and mask to logits of death ``(B,)``.

    ``told`` (B,) is the logit of the maps.
    """

    def __init__(self, base: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, base, 5, 2, 2, bias=False), nn.BatchNorm2d(base), nn.SiLU()
        )
        self.blocks = blocks(base)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(8 * base, 1)
        self.trust: Tensor
        self.register_buffer("trust", torch.zeros(1))  # it learns without the maps

    def forward(self, crops: Tensor, told: Tensor) -> Tensor:
        """Give the logits."""
        grey, mask = crops[:, :1], crops[:, 1:]
        x = torch.cat([grey, grey * mask, mask], dim=1)  # (B, 3, edge, edge)
        x = self.blocks(self.stem(x))  # (B, 4 base, edge / 8, edge / 8)
        x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)  # (B, 8 base)
        return self.head(self.drop(x))[:, 0] + self.trust * told
