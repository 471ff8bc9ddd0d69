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


def _newest(layer: nn.Module, x: Tensor, hidden: Tensor) -> Tensor:
    """Give what an encoder layer makes of the last token alone, (B, C).

    Nothing else of the last layer is used; this saves four fifths of its work.
    """
    seen = layer.norm1(x)
    found, _ = layer.self_attn(
        seen[:, -1:], seen, seen, key_padding_mask=hidden, need_weights=False
    )
    x = x[:, -1:] + found  # (B, 1, C)
    rest = layer.linear2(torch.relu(layer.linear1(layer.norm2(x))))
    return (x + rest)[:, 0]


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
        seen = known.clone()
        seen[:, -1] = True  # a track without any step must still see something
        x = self.step(steps) + self.place  # (B, T, C)
        *layers, last = self.encoder.layers
        for layer in layers:
            x = layer(x, src_key_padding_mask=~seen)  # (B, T, C)
        x = _newest(last, x, ~seen)  # (B, C)
        x = x[:, None].expand(-1, ahead.shape[1], -1)  # (B, H, C)
        x = torch.relu(self.ahead(torch.cat((x, ahead), dim=2)))  # (B, H, C)
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
