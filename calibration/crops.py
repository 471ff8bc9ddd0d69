"""What networks that look at crops around cells share while they learn."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


def turned(crops: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn each of the crops (B, C, H, W) by an angle of its own, and mirror half.

    What was beyond the crop is 0, as an empty field.
    """
    angle = torch.from_numpy(rng.uniform(0, 2 * math.pi, len(crops)).astype(np.float32))
    side = torch.from_numpy(rng.choice([-1.0, 1.0], len(crops)).astype(np.float32))
    c, s, middle = torch.cos(angle), torch.sin(angle), torch.zeros(len(crops))
    rows = [
        torch.stack(row, 1) for row in ((c * side, -s, middle), (s * side, c, middle))
    ]
    turns = torch.stack(rows, 1)  # (B, 2, 3)
    grid = functional.affine_grid(turns, list(crops.shape), align_corners=False)
    seen = functional.grid_sample(crops, grid, align_corners=False)
    return seen.contiguous(memory_format=torch.channels_last)


def follow(averaged: nn.Module, network: nn.Module, keep: float) -> None:
    """Bring an averaged network nearer to the one that learns (Polyak averaging)."""
    with torch.no_grad():
        for mean, new in zip(averaged.parameters(), network.parameters(), strict=True):
            mean.lerp_(new, 1 - keep)
        for mean, new in zip(averaged.buffers(), network.buffers(), strict=True):
            mean.copy_(new)
