"""A small network on crops around true masks: a lower bound of what a network can see.

The blocks are those of the product's own look at single cells; decoupled weight decay,
a warm-up and a cosine, a running average of the weights. What is finer than a few
pixels is shown in a channel of its own. Every cell is turned freely while
it learns, and by all eight turns and flips when it is asked. Beside the answer it
learns to read off the numbers that the cell was drawn from, which makes much of few
cells; they are not used afterwards.
"""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from calibration.audit.cells import AuditCells, Progress
from calibration.crops import follow, turned
from inference.nets.cell_classifier import blocks

HELD_OUT = 4
"""Every fourth field is kept from training."""
NEAR_PX = 5
"""Two means over so many pixels are taken away from what is fine."""
FINE_GAIN = 3.0


@dataclass(frozen=True, slots=True)
class Training:
    """How the network is trained."""

    epochs: int = 24
    batch: int = 64
    peak_rate: float = 4e-3
    weight_decay: float = 0.05
    averaging: float = 0.997
    reading_weight: float = 0.5
    """Weight of reading off the drawing, against the answer itself."""
    threads: int = 1
    """NOTE: on a machine that has other work, two threads wait for each other."""


class CropNetwork(nn.Module):
    """Crops (B, 2, H, W) of picture and mask to a logit and ``readings`` numbers."""

    def __init__(self, readings: int, base: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(4, base, 5, 2, 2, bias=False), nn.BatchNorm2d(base), nn.SiLU()
        )
        self.blocks = blocks(base)
        self.drop = nn.Dropout(0.2)
        self.answer = nn.Linear(8 * base, 1)
        self.read = nn.Linear(8 * base, readings)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Give the logits (B,) and the readings (B, readings)."""
        picture, mask = crops[:, :1], crops[:, 1:]
        fine = FINE_GAIN * (picture - _near_mean(_near_mean(picture)))
        x = torch.cat([picture, picture * mask, mask, fine], dim=1)  # (B, 4, H, W)
        x = self.blocks(self.stem(x))  # (B, 4 base, H / 8, W / 8)
        x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)  # (B, 8 base)
        x = self.drop(x)
        return self.answer(x)[:, 0], self.read(x)


def _near_mean(picture: Tensor) -> Tensor:
    return functional.avg_pool2d(picture, NEAR_PX, stride=1, padding=NEAR_PX // 2)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the network says of the cells of the held-out fields."""

    rows: NDArray[np.int64]  # (seen,) which of the cells they are
    score: NDArray[np.float64]  # (seen,) P(answer is yes)


def look_and_learn(
    cells: AuditCells, answer: NDArray[np.bool_], training: Training, tell: Progress
) -> Seen:
    """Train on most fields and give the scores on the others.

    Deterministic on one machine for a number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(training.threads)
    try:
        held = cells.field % HELD_OUT == HELD_OUT - 1
        scale = float(np.std(cells.crops[:2000, 0].astype(np.float32))) + 1e-6
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = _train(cells, answer, ~held, scale, training, tell)
            rows = np.flatnonzero(held)
            return Seen(rows, _score(network, cells.crops[rows], scale))
    finally:
        torch.set_num_threads(threads)


def _train(
    cells: AuditCells,
    answer: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
    scale: float,
    training: Training,
    tell: Progress,
) -> CropNetwork:
    """Give the averaged network after all epochs."""
    rows = np.flatnonzero(chosen)
    drawn = _standardised(cells.drawn[rows])
    wanted = torch.from_numpy(answer[rows].astype(np.float32))
    network = CropNetwork(drawn.shape[1]).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=1.0, weight_decay=training.weight_decay, eps=1e-6
    )
    steps_an_epoch = len(rows) // training.batch
    steps = training.epochs * steps_an_epoch
    rng = np.random.default_rng(0)
    network.train()
    for step in range(steps):
        if step % steps_an_epoch == 0:
            order = rng.permutation(len(rows))
        at = (step % steps_an_epoch) * training.batch
        batch = np.sort(order[at : at + training.batch])
        crops = turned(_prepared(cells.crops[rows[batch]], scale), rng)
        logit, read = network(crops)
        loss = functional.binary_cross_entropy_with_logits(logit, wanted[batch])
        miss = functional.smooth_l1_loss(read, drawn[batch])
        for group in optimiser.param_groups:
            group["lr"] = training.peak_rate * _rate(step / steps)
        optimiser.zero_grad(set_to_none=True)
        (loss + training.reading_weight * miss).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        follow(averaged, network, min(training.averaging, step / (step + 10)))
        if step % 20 == 0:
            tell("network", step / steps)
    tell("network", 1.0)
    return averaged


def _rate(done: float) -> float:
    """Rise over the first twentieth, then fall along a cosine."""
    return min(1.0, done / 0.05) * (0.5 + 0.5 * math.cos(math.pi * done))


def _standardised(drawn: NDArray[np.float32]) -> Tensor:
    spread = drawn.std(axis=0)
    kept = drawn[:, spread > 1e-6]
    values = (kept - kept.mean(axis=0)) / kept.std(axis=0)
    return torch.from_numpy(values.clip(-4, 4).astype(np.float32))


def _prepared(crops: NDArray[np.float16], scale: float) -> Tensor:
    values = torch.from_numpy(crops.astype(np.float32))
    values[:, 0] = (values[:, 0] / scale).clamp(-8, 8)
    return values.contiguous(memory_format=torch.channels_last)


def _score(
    network: CropNetwork, crops: NDArray[np.float16], scale: float
) -> NDArray[np.float64]:
    """Give the mean probability over all turns and flips."""
    network.eval()
    scores = []
    with torch.no_grad():
        for start in range(0, len(crops), 128):
            batch = _prepared(crops[start : start + 128], scale)
            seen = [
                torch.rot90(side, quarter, (2, 3))
                for side in (batch, batch.flip(3))
                for quarter in range(4)
            ]
            answers = [torch.sigmoid(network(crop)[0]) for crop in seen]
            scores.append(torch.stack(answers).mean(0).numpy())
    return np.concatenate(scores).astype(np.float64)
