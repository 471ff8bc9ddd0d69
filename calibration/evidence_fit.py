"""Fits the evidence of death and the hazard on samples of simulated runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from acquisition.errors import BadRun
from calibration.evidence_samples import Samples
from tracking.events.evidence import AHEADS, HORIZON_PARTS_S, LARGEST, Net, Nets
from tracking.events.histories import BIN_S, CHANNELS, feature_names

UNITS, HAZARD_UNITS = 16, 8
"""In the hidden layers. Without one the hazard reaches an area under precision and
recall of 0.25 instead of 0.42 (demo, seed 903), and a change is hardly found at all."""
STEPS = 250
RATE = 0.03
DECAY = 1e-3
"""Weight decay; chosen on seeds that are not among those of the reported figures."""
OLD_S, OLD_WEIGHT = 7200.0, 0.2
"""Cells that have been dead for longer weigh less: they are easy, and many."""


THIN = 5
"""Of rows that say no and are not close to a death, one in so many is used."""
CLOSE_S = 5400.0


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to learn: yes or no, with weights."""

    features: NDArray[np.float64]
    yes: NDArray[np.bool_]
    weight: NDArray[np.float64]


def fit_nets(samples: dict[int, Samples], seed: int, *, phase: bool) -> Nets:
    """Fit all networks for images with phase, or for those without."""
    used = used_features(phase=phase)
    turns = [_turn_task(samples[ahead]) for ahead in AHEADS]
    nearest = samples[AHEADS[0]]
    return Nets(
        level=fit_net(_level_task(nearest), used, seed, UNITS),
        turns=tuple(fit_net(task, used, seed, UNITS) for task in turns),
        hazard=tuple(
            fit_net(
                task, _with_doses(used, nearest), seed, HAZARD_UNITS, keep_prior=True
            )
            for task in _hazard_tasks(nearest)
        ),
    )


def used_features(*, phase: bool) -> NDArray[np.bool_]:
    """Say which features may be used."""
    hidden = () if phase else ("mass", "phase")
    assert set(hidden) <= set(CHANNELS)
    return np.array([not name.startswith(hidden or "\0") for name in feature_names()])


def _with_doses(used: NDArray[np.bool_], samples: Samples) -> NDArray[np.bool_]:
    return np.concatenate([used, np.ones(samples.doses.shape[1], np.bool_)])


def _level_task(samples: Samples) -> Task:
    rows, weight = _thinned(samples)
    weight *= np.where(samples.since_s[rows] > OLD_S, OLD_WEIGHT, 1.0)
    return Task(samples.features[rows], samples.since_s[rows] >= 0, weight)


def _turn_task(samples: Samples) -> Task:
    rows, weight = _thinned(samples)
    since_s = samples.since_s[rows]
    yes = (since_s >= 0) & (since_s < BIN_S)
    return Task(samples.features[rows], yes, weight)


def _thinned(samples: Samples) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give the rows that are used, and what each stands for."""
    close = np.abs(samples.since_s) < CLOSE_S
    every = np.arange(close.size) % THIN == 0
    rows = np.flatnonzero(close | every)
    return rows, np.where(close[rows], 1.0, float(THIN))


def _hazard_tasks(samples: Samples) -> Sequence[Task]:
    """Give a task for each part of the horizon, of the cells alive at its beginning."""
    full = np.concatenate([samples.features, samples.doses], axis=1)
    tasks = []
    begin_s = 0.0
    for part_s in HORIZON_PARTS_S:
        alive = samples.since_s < -begin_s
        dies = samples.since_s[alive] >= -(begin_s + part_s)
        rows = np.flatnonzero(dies | (np.arange(dies.size) % THIN == 0))
        weight = np.where(dies[rows], 1.0, float(THIN))
        tasks.append(Task(full[alive][rows], dies[rows], weight))
        begin_s += part_s
    return tasks


def fit_net(
    task: Task,
    used: NDArray[np.bool_],
    seed: int,
    units: int,
    *,
    keep_prior: bool = False,
) -> Net:
    """Fit log odds by weighted cross entropy; the same input gives the same net.

    Parameters
    ----------
    task
        What to learn.
    used
        (feature,) the others keep weight zero.
    seed
        Of the first weights.
    units
        In the hidden layer; 0: none.
    keep_prior
        Give log odds at the shares of the samples, not likelihood ratios.

    Raises
    ------
    BadRun
        If the samples hold no yes, or no no.
    """
    if task.yes.all() or not task.yes.any():
        raise BadRun(
            "no cell of these runs is watched from an hour before its death until half "
            "an hour after it: fit to longer runs"
        )
    mean = task.features.mean(axis=0)
    scale = np.where(used, task.features.std(axis=0), np.inf)
    scale = np.where(scale > 0, scale, np.inf)
    x = np.clip((task.features - mean) / scale, -LARGEST, LARGEST)
    share = float(np.average(task.yes, weights=task.weight))
    prior = float(np.log(share / (1 - share)))
    hidden, hidden_bias, output, bias = _descend(task, x, seed, units, prior)
    # An infinite scale would not survive a text file; a huge one does the same.
    scale = np.where(np.isfinite(scale), scale, 1e12)
    return Net(
        mean=_rounded(mean),
        scale=_rounded(scale),
        hidden=tuple(_rounded(row) for row in hidden),
        hidden_bias=_rounded(hidden_bias),
        output=_rounded(output),
        bias=_rounded(bias)[0],
        prior=0.0 if keep_prior else round(prior, 4),
    )


def _descend(
    task: Task, x: NDArray[np.float64], seed: int, units: int, prior: float
) -> tuple[NDArray[np.float64], ...]:
    """Adam on all samples at once; gives hidden (unit, feature), biases, output."""
    random = torch.Generator().manual_seed(seed)
    inputs = torch.tensor(x, dtype=torch.float32)  # (N, F)
    wanted = torch.tensor(task.yes, dtype=torch.float32)
    weight = torch.tensor(task.weight, dtype=torch.float32)
    count = x.shape[1]
    first = torch.randn((count, units), generator=random) / count**0.5
    parts = [
        first,
        torch.zeros(units),
        torch.randn(units, generator=random) * 0.1 if units else torch.zeros(count),
        torch.full((1,), prior),
    ]
    for part in parts:
        part.requires_grad_()
    adam = torch.optim.AdamW(parts, lr=RATE, weight_decay=0.0)
    for step in range(STEPS):
        for group in adam.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        body = torch.tanh(inputs @ parts[0] + parts[1]) if units else inputs
        odds = body @ parts[2] + parts[3]
        loss = binary_cross_entropy_with_logits(odds, wanted, weight)
        loss = loss + DECAY * (parts[0].square().sum() + parts[2].square().sum()) * 0.1
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    found = [part.detach().numpy().astype(np.float64) for part in parts]
    return found[0].T, found[1], found[2], found[3]


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values)
