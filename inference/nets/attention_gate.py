"""The gate on the features that a decoder joins (Oktay et al. 2018)."""

import torch
from torch import Tensor, nn


class AttentionGate(nn.Module):
    """Weight features x by sigmoid(conv(ReLU(conv(x) + conv(g)))), g the way up."""

    def __init__(self, features: int, signal: int) -> None:
        super().__init__()
        inner = features // 2
        self.of_features = nn.Conv2d(features, inner, kernel_size=1)
        self.of_signal = nn.Conv2d(signal, inner, kernel_size=1)
        self.weight = nn.Conv2d(inner, 1, kernel_size=1)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        """Give the weighted features; x and g have the same size."""
        both = torch.relu(self.of_features(x) + self.of_signal(g))  # (B, C/2, h, w)
        return x * torch.sigmoid(self.weight(both))  # (B, C, h, w)
