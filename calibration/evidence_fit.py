"""Fits the evidence of death and the hazard on courses of simulated runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits

from acquisition.errors import BadRun
from calibration.evidence_samples import Course, count_deaths
from calibration.onset_fit import STEPS as ONSET_STEPS
from calibration.onset_fit import Fitted, Scale, fit_onset, scale_of
from tracking.events.evidence import AHEADS, HORIZON_PARTS_S, LARGEST, Net, Nets
from tracking.events.histories import BIN_S, feature_names

HAZARD_UNITS = 8
"""In the hidden layer. Without one the hazard reaches an area under precision and
recall of 0.25 instead of 0.42 (demo, seed 903)."""
STEPS = 250
RATE = 0.03
DECAY = 1e-3
"""Weight decay; chosen on seeds that are not among those of the reported figures."""
THIN = 5
"""Of rows that say no and are not close to a death, one in so many is used."""
LARGEST_SHIFT, HALVINGS = 4.0, 30
"""The shift of first looks, in log odds, is sought within so much by halving."""
FEWEST_BEFORE = 3
"""A hazard is learnt where so many bins before are known."""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to learn: yes or no, with weights."""

    features: NDArray[np.float64]
    yes: NDArray[np.bool_]
    weight: NDArray[np.float64]


def fit_nets(
    views: Sequence[Sequence[Course]],
    seed: int,
    *,
    phase: bool,
    steps: int = ONSET_STEPS,
) -> Nets:
    """Fit all networks for images with phase, or for those without.

    Parameters
    ----------
    views
        The courses of some runs, each run from its beginning first, then as if it had
        begun later.
    seed
        Of the first weights and of what is drawn.
    phase
        Whether dry mass and phase are known.
    steps
        Of the fit of the onset.
    """
    used = used_features(phase=phase)
    whole, courses = views[0], [one for view in views for one in view]
    deaths, hours = count_deaths(whole)
    if deaths == 0 or hours == 0:
        raise BadRun("of these runs no cell lives, or none dies: fit to longer runs")
    log_hazard = float(np.log(-np.expm1(-deaths / hours * BIN_S / 3600)))
    hazards = tuple(_hazards(whole, used, seed))
    scale = scale_of(courses, used)
    first, level, turn = fit_onset(courses, scale, log_hazard, seed, steps)
    ahead = np.zeros(len(AHEADS))
    of_turn = Scale(np.append(scale.mean, ahead), np.append(scale.deviation, ahead + 1))
    return Nets(
        first=level_with_truth(_written(first, scale, 0.0), courses),
        level=_written(level, scale, 0.0),
        turn=_written(turn, of_turn, log_hazard),
        hazard=hazards,
    )


def level_with_truth(first: Net, courses: Sequence[Course]) -> Net:
    """Shift the net of first looks until it calls as many dead as are.

    The fit has an eye on every time of a track, of which the first is one in many: it
    holds first looks back, for later ones add to them. What is shown in the first hour
    of a run is little more than they.
    """
    seen = [one for one in courses if one.seen[0]]
    odds = first(np.stack([one.features[0, 0] for one in seen]).astype(np.float64))
    share = float(np.mean([one.since_s[0] >= 0 for one in seen]))
    low, high = -LARGEST_SHIFT, LARGEST_SHIFT
    for _ in range(HALVINGS):
        shift = (low + high) / 2
        called = float(np.mean(1 / (1 + np.exp(-(odds + shift)))))
        low, high = (shift, high) if called < share else (low, shift)
    return first.model_copy(update={"bias": round(first.bias + shift, 4)})


def _written(fitted: Fitted, scale: Scale, prior: float) -> Net:
    # An infinite scale would not survive a text file; a huge one does the same.
    deviation = np.where(np.isfinite(scale.deviation), scale.deviation, 1e12)
    return Net(
        mean=_rounded(scale.mean),
        scale=_rounded(deviation),
        hidden=tuple(_rounded(row) for row in fitted.hidden),
        hidden_bias=_rounded(fitted.hidden_bias),
        output=_rounded(fitted.output),
        bias=_rounded(np.array([fitted.bias]))[0],
        prior=round(prior, 4),
    )


def used_features(*, phase: bool) -> NDArray[np.bool_]:
    """Say which features may be used."""
    hidden = () if phase else ("mass", "phase")
    return np.array([not name.startswith(hidden or "\0") for name in feature_names()])


def _hazards(
    courses: Sequence[Course], used: NDArray[np.bool_], seed: int
) -> Iterator[Net]:
    """Fit each part of the horizon, to the cells alive at its beginning."""
    rows = [np.cumsum(one.seen) - one.seen >= FEWEST_BEFORE for one in courses]
    pairs = list(zip(courses, rows, strict=True))
    features = np.concatenate([one.features[row, 0] for one, row in pairs])
    doses = np.concatenate([one.doses[row] for one, row in pairs])
    since_s = np.concatenate([one.since_s[row] for one, row in pairs])
    full = np.concatenate([features, doses], axis=1)
    used = np.append(used, np.ones(doses.shape[1], np.bool_))
    begin_s = 0.0
    for part_s in HORIZON_PARTS_S:
        alive = since_s < -begin_s
        dies = since_s[alive] >= -(begin_s + part_s)
        chosen = np.flatnonzero(dies | (np.arange(dies.size) % THIN == 0))
        weight = np.where(dies[chosen], 1.0, float(THIN))
        task = Task(full[alive][chosen], dies[chosen], weight)
        yield fit_net(task, used, seed, HAZARD_UNITS)
        begin_s += part_s


def fit_net(task: Task, used: NDArray[np.bool_], seed: int, units: int) -> Net:
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

    Raises
    ------
    BadRun
        If the samples hold no yes, or no no.
    """
    if task.yes.all() or not task.yes.any():
        raise BadRun(
            "no cell of these runs is watched from an hour before its death on: "
            "fit to longer runs"
        )
    mean = task.features.mean(axis=0)
    scale = np.where(used, task.features.std(axis=0), np.inf)
    scale = np.where(scale > 0, scale, np.inf)
    x = np.clip((task.features - mean) / scale, -LARGEST, LARGEST)
    share = float(np.average(task.yes, weights=task.weight))
    prior = float(np.log(share / (1 - share)))
    hidden, hidden_bias, output, bias = _descend(task, x, seed, units, prior)
    fitted = Fitted(hidden, hidden_bias, output, float(bias[0]))
    return _written(fitted, Scale(mean, scale), 0.0)


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
