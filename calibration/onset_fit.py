"""Fits what first looks, looks and changes say, through the posterior of the onset.

The three networks are fitted together: what is made as likely as can be is the truth
about every track at every time, that it lives, was dead before, or died in that bin, as
the filter works it out (`tracking.events.deaths`). So looks that repeat one another's
mistakes weigh what they are worth, and dates are right because they are what is fitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acquisition.errors import BadRun
from calibration.evidence_samples import Course
from tracking.events.deaths import NEVER
from tracking.events.evidence import AHEADS, LARGEST

FIRST_UNITS, LEVEL_UNITS, TURN_UNITS = 8, 16, 24
FITS = 3
"""From so many first weights the networks are fitted, and then averaged: one of seeds
901, 902 and 904 alone dates 2 in 100 deaths less of 903, 905 and 906."""
STEPS = 300
RATE = 0.03
DECAY = 1e-3
"""Weight decay; a third of it fits the runs themselves far better, and others worse."""
DYING, LIVING, DEAD = 80, 53, 27
"""Tracks of each kind in a step of the fit."""
OLD_BINS, OLD_WEIGHT, DEAD_WEIGHT = 24, 0.2, 0.3
"""Bins so long after a death weigh less, and those of cells that were dead before: they
are easy, and many."""
EVERY = 7
"""Mean and deviation of the features are those of one row in so many."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A network: (unit, feature), (unit,), (unit,) and a number."""

    hidden: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]
    output: NDArray[np.float64]
    bias: float


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and deviation of every feature; infinite where it must not be used."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


class _Layer(nn.Module):
    """One hidden layer of tanh units."""

    def __init__(self, features: int, units: int, bias: float, random: torch.Generator):
        super().__init__()
        first = torch.randn((features, units), generator=random) / features**0.5
        self.hidden = nn.Parameter(first)
        self.hidden_bias = nn.Parameter(torch.zeros(units))
        self.output = nn.Parameter(torch.randn(units, generator=random) * 0.1)
        self.bias = nn.Parameter(torch.full((1,), bias))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.hidden + self.hidden_bias) @ self.output + self.bias

    def size(self) -> Tensor:
        return self.hidden.square().sum() + self.output.square().sum()


class _Filter(nn.Module):
    """The posterior of the onset, as `tracking.events.deaths` works it out."""

    def __init__(self, features: int, log_hazard: float, random: torch.Generator):
        super().__init__()
        self.first = _Layer(features, FIRST_UNITS, -1.0, random)
        self.level = _Layer(features, LEVEL_UNITS, 0.0, random)
        ahead = len(AHEADS)
        self.turn = _Layer(features + ahead, TURN_UNITS, log_hazard, random)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Give log odds (B, now, alive | dead before | bin) against being alive.

        ``x`` (B, T, A, F), ``seen`` (B, T).
        """
        count, bins, ahead, _ = x.shape
        level = self.level(x[:, :, 0]) * seen  # (B, T)
        until = level.cumsum(1)
        which = torch.eye(ahead).expand(count, bins, ahead, ahead)
        turns = self.turn(torch.cat((x, which), dim=-1))  # (B, T, A)
        after = torch.arange(bins)[:, None] - torch.arange(bins)  # (now, bin)
        turn = torch.full((count, bins, bins), NEVER)
        for at, least in enumerate(AHEADS):
            # In the first bin of a track it was dead before.
            known = (after + 1 >= least) & (torch.arange(bins) > 0)
            turn = torch.where(known, turns[:, None, :, at], turn)
        died = turn + until[:, :, None] - (until - level)[:, None, :]
        before = self.first(x[:, 0, 0])[:, None] + until
        return torch.cat(
            (torch.zeros_like(before)[..., None], before[..., None], died), 2
        )

    def size(self) -> Tensor:
        return self.first.size() + self.level.size() + self.turn.size()


def scale_of(courses: Sequence[Course], used: NDArray[np.bool_]) -> Scale:
    """Give the scale of the features of these courses, seen from all of `AHEADS`."""
    count = courses[0].features.shape[-1]
    rows = np.concatenate([one.features.reshape(-1, count)[::EVERY] for one in courses])
    deviation = rows.std(axis=0).astype(np.float64)
    deviation[(deviation < 1e-6) | ~used] = np.inf
    return Scale(rows.mean(axis=0).astype(np.float64), deviation)


def fit_onset(
    courses: Sequence[Course],
    scale: Scale,
    log_hazard: float,
    seed: int,
    steps: int = STEPS,
) -> tuple[Fitted, Fitted, Fitted]:
    """Fit the networks of first looks, of looks and of changes.

    Parameters
    ----------
    courses
        Of tracks that live, were dead, and die.
    scale
        Of their features.
    log_hazard
        Logarithm of the chance to die in a bin, where the fit begins.
    seed
        Of the first weights and of what is drawn; the same input, the same bytes.
    steps
        Of each of the fits.

    Raises
    ------
    BadRun
        If no track dies while it is watched, or none lives.
    """
    kinds = _sort(courses)
    parts = []
    for number in range(FITS):
        random = torch.Generator().manual_seed(1000 * seed + number)
        draws = np.random.default_rng((seed, number))
        model = _Filter(scale.mean.size, log_hazard, random)
        adam = torch.optim.Adam(model.parameters(), lr=RATE)
        for step in range(steps):
            for group in adam.param_groups:
                group["lr"] = RATE * (1 - step / steps)
            loss = _loss(model, *_draw(kinds, scale, draws)) + DECAY * model.size()
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        parts.append(model)
    names = ("first", "level", "turn")
    first, level, turn = (_average([getattr(m, name) for m in parts]) for name in names)
    return first, level, turn


def _sort(courses: Sequence[Course]) -> list[tuple[list[Course], int]]:
    """Give the courses of each kind, and how many of them a step takes."""
    dying = [one for one in courses if 0 < one.onset < one.seen.size]
    living = [one for one in courses if one.onset == one.seen.size]
    dead = [one for one in courses if one.onset == 0]
    if not dying or not living:
        raise BadRun("of these runs no cell lives, or none dies: fit to longer runs")
    kinds = ((dying, DYING), (living, LIVING), (dead, DEAD))
    return [(kind, min(number, len(kind))) for kind, number in kinds if kind]


def _draw(
    kinds: list[tuple[list[Course], int]], scale: Scale, draws: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw some courses of each kind: x (B, T, A, F), seen (B, T), truth, weight."""
    chosen: list[tuple[Course, float]] = []
    for kind, number in kinds:
        picked = draws.choice(len(kind), number, replace=False)
        chosen += [(kind[at], len(kind) / number) for at in picked.tolist()]
    bins = max(one.seen.size for one, _ in chosen)
    x = np.zeros((len(chosen), bins, *chosen[0][0].features.shape[1:]), np.float32)
    seen, weight = np.zeros((2, len(chosen), bins), np.float32)
    truth = np.zeros((len(chosen), bins), np.int64)
    for row, (one, share) in enumerate(chosen):
        size, onset = one.seen.size, one.onset
        x[row, :size] = (one.features - scale.mean) / scale.deviation
        seen[row, :size] = one.seen
        weight[row, :size] = share * one.seen * (DEAD_WEIGHT if onset == 0 else 1.0)
        if onset:
            truth[row, onset:size] = 2 + onset
            weight[row, onset + OLD_BINS :] *= OLD_WEIGHT
        else:
            truth[row, :size] = 1
    np.clip(x, -LARGEST, LARGEST, out=x)
    x, seen, truth, weight = map(torch.from_numpy, (x, seen, truth, weight))
    return x, seen, truth, weight


def _loss(
    model: _Filter, x: Tensor, seen: Tensor, truth: Tensor, weight: Tensor
) -> Tensor:
    """Give the mean surprise at the truth, of every track at every time."""
    log_p = torch.log_softmax(model(x, seen), dim=2)
    right = log_p.gather(2, truth[..., None])[..., 0]
    return -(right * weight).sum() / weight.sum()


def _average(layers: Sequence[_Layer]) -> Fitted:
    """Put the units of several networks into one that gives their mean."""
    share = 1 / len(layers)
    with torch.no_grad():
        parts = (
            torch.cat([one.hidden for one in layers], dim=1).T,
            torch.cat([one.hidden_bias for one in layers]),
            torch.cat([one.output for one in layers]) * share,
        )
        bias = float(sum(one.bias.item() for one in layers)) * share
    hidden, hidden_bias, output = (one.numpy().astype(np.float64) for one in parts)
    return Fitted(hidden, hidden_bias, output, bias)
