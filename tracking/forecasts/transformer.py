"""The network that corrects the bank: the paper's transformer on relative steps.

Two encoder layers of four heads over the last five steps, as in the paper on irradiated
cells; there it sees places and gives places (`AbsoluteTransformer`, kept to reproduce
that only). Ours sees steps and what the bank expects of each horizon, and gives a
correction in deviations of the bank, so an untrained one is the bank itself.

Needs torch: import this file only where the network is wanted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tracking.forecasts.card import ForecastModel, ResidualShape
from tracking.forecasts.tokens import AHEAD_FEATURES, STEP_FEATURES, WINDOW, Tokens

BLOCK = 256
"""Tracks are corrected in batches of a multiple of this ..."""
USUAL_BLOCKS = 4
"""... and this many sizes are tried before the first frame."""
WIDEST = 2.0
"""A correction of the logarithm of the variance is at most this."""


def _encoder(width: int, layers: int, heads: int, *, first: bool) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=first
    )
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def _linear(weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """Give a linear layer on the features of (C, T, B)."""
    return torch.addmm(bias[:, None], weight, x.flatten(1)).unflatten(1, x.shape[1:])


def _normed(x: Tensor, eps: float) -> Tensor:
    """Give the features of (C, T, B) with mean 0 and variance 1."""
    x = x - x.mean(0)
    return x * torch.rsqrt(x.square().mean(0) + eps)


def _after_norm(norm: nn.Module, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Give the linear layer that takes in what a norm multiplies and adds."""
    return weight * norm.weight, bias + weight @ norm.bias


def _encoded(layer: nn.Module, x: Tensor, hidden: Tensor, asking: slice) -> Tensor:
    """Give what an encoder layer makes of the tokens ``asking``, (C, t, B).

    The arithmetic is that of the library, whose attention takes a call for every
    track and head; here the tracks are the innermost axis, and all are one product.
    """
    attention = layer.self_attn
    heads, width = attention.num_heads, len(x)
    weight, bias = _after_norm(
        layer.norm1, attention.in_proj_weight, attention.in_proj_bias
    )
    seen = _normed(x, layer.norm1.eps)  # (C, T, B)
    x = x[:, asking]  # (C, t, B)
    q = _linear(weight[:width], bias[:width], seen[:, asking])  # (C, t, B)
    both = _linear(weight[width:], bias[width:], seen)  # (2C, T, B)
    q = q.unflatten(0, (heads, -1)) * (width // heads) ** -0.5  # (h, C/h, t, B)
    k, v = both.unflatten(0, (2, heads, -1))  # (h, C/h, T, B)
    score = (q[:, :, :, None] * k[:, :, None]).sum(1)  # (h, t, T, B)
    share = score.masked_fill_(hidden, -torch.inf).softmax(2)  # (h, t, T, B)
    found = (share[:, None] * v[:, :, None]).sum(3).flatten(0, 1)  # (C, t, B)
    x = _linear(attention.out_proj.weight, attention.out_proj.bias, found).add_(x)
    inner = _normed(x, layer.norm2.eps)  # (C, t, B)
    weight, bias = _after_norm(layer.norm2, layer.linear1.weight, layer.linear1.bias)
    inner = _linear(weight, bias, inner).relu_()
    return _linear(layer.linear2.weight, layer.linear2.bias, inner).add_(x)


class ResidualTransformer(nn.Module):
    """Corrections of the bank at any horizon."""

    def __init__(self, shape: ResidualShape) -> None:
        super().__init__()
        width = shape.width
        self.step = nn.Linear(STEP_FEATURES, width)
        self.place = nn.Parameter(torch.zeros(1, WINDOW, width))
        self.encoder = _encoder(width, shape.layers, shape.heads, first=True)
        self.ahead = nn.Linear(width + AHEAD_FEATURES, width)
        self.out = nn.Linear(width, 3)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, steps: Tensor, known: Tensor, ahead: Tensor) -> Tensor:
        """Give shift along and across, and log-variance, (B, H, 3)."""
        hidden = ~known.T  # (T, B)
        # A track without any step must still see something.
        hidden[-1] = False
        x = _linear(self.step.weight, self.step.bias, steps.permute(2, 1, 0))
        x = x + self.place[0].T[..., None]  # (C, T, B)
        *layers, last = self.encoder.layers
        for layer in layers:
            x = _encoded(layer, x, hidden, slice(None))  # (C, T, B)
        # Of the last layer only the newest token is used.
        x = _encoded(last, x, hidden, slice(-1, None))  # (C, 1, B)
        of_track, of_horizon = self.ahead.weight.split([len(x), AHEAD_FEATURES], 1)
        x = _linear(of_track, self.ahead.bias, x)[:, 0].T[:, None]  # (B, 1, C)
        x = torch.relu(x + ahead @ of_horizon.T)  # (B, H, C)
        out = self.out(x)  # (B, H, 3)
        return torch.cat((out[..., :2], WIDEST * torch.tanh(out[..., 2:])), dim=2)


class AbsoluteTransformer(nn.Module):
    """The paper's own form: places in the image in, places out. To reproduce only."""

    def __init__(self, width: int = 64, ahead: int = 5) -> None:
        super().__init__()
        self.step = nn.Linear(2, width)
        times = torch.arange(WINDOW)[:, None] / 10_000 ** (
            torch.arange(0, width, 2) / width
        )
        code = torch.stack((times.sin(), times.cos()), dim=2).flatten(1)
        self.register_buffer("code", code)
        self.encoder = _encoder(width, 2, 4, first=False)
        self.out = nn.Linear(width, 2 * ahead)

    def forward(self, places: Tensor) -> Tensor:
        """Give places (B, H, 2) from the last five (B, T, 2), both in image sizes."""
        x = self.step(places) + self.code  # (B, T, C)
        x = self.encoder(x)[:, -1]  # (B, C)
        return self.out(x).unflatten(1, (-1, 2))  # (B, H, 2)


class Corrector:
    """A trained network, ready to correct."""

    def __init__(self, model: ForecastModel) -> None:
        self._net = ResidualTransformer(model.card.architecture)
        tensors = {
            name: torch.from_numpy(np.array(value))
            for name, value in model.weights.items()
        }
        self._net.load_state_dict(tensors)
        self._net.eval()
        for blocks in range(1, USUAL_BLOCKS + 1):
            self(_blank_tokens(blocks * BLOCK))

    def __call__(
        self, tokens: Tokens
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give shifts along and across in deviations (track, horizon, 2), and factors.

        All tracks are one batch; the factors (track, horizon) are on the variance.
        """
        count = len(tokens.steps)
        with torch.inference_mode(), _one_thread():
            out = self._net(
                _in_blocks(tokens.steps),
                _in_blocks(tokens.known),
                _in_blocks(tokens.ahead),
            )[:count]
        numbers = out.numpy().astype(np.float64)
        return numbers[..., :2], np.exp(numbers[..., 2])


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in the calling thread alone.

    The layers are so small that threads mostly wait for each other: with both of two
    cores busy, 340 tracks took 676 ms (330 ms of processor time) with two threads and
    19 ms (5 ms) with one. The numbers are the same.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _in_blocks(rows: NDArray[Any]) -> Tensor:
    """Repeat the last row up to a full block.

    The library makes kernels for every new size, 0.1 to 0.5 s each time: so there are
    few sizes, whatever the number of tracks.
    """
    missing = -len(rows) % BLOCK if len(rows) else 0
    return torch.from_numpy(np.concatenate([rows, np.repeat(rows[-1:], missing, 0)]))


def _blank_tokens(count: int) -> Tokens:
    """Give tokens of cells that never moved, as many as asked for."""
    return Tokens(
        np.zeros((count, WINDOW, STEP_FEATURES), np.float32),
        np.ones((count, WINDOW), np.bool_),
        np.zeros((count, 1, AHEAD_FEATURES), np.float32),
        np.tile([1.0, 0.0], (count, 1)),
    )
