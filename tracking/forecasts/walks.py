"""Persistent walks: the models of the bank, and what a frame does to all of them.

A model is an Ornstein-Uhlenbeck velocity of one speed and one persistence, seen with
one level of noise. The compiled kernels work on one array of all tracks and models.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

SECONDS_PER_MINUTE = 60.0
SPEEDS_UM_PER_MIN = 0.02 * 2.0 ** np.arange(11)
"""Standard deviations of the velocity of an axis, 0.02 to 20 um a minute."""
PERSISTENCES_MIN = np.array([1.5, 5.0, 15.0, 50.0])
NOISE_LEVELS = np.array([0.3, 1.0, 3.0])
"""Of the localisation of the settings: some cells are measured better than others."""
JUMP = 36.0
"""A centre whose squared distance from every model is more than so many variances is
that of a jump (a merged mask, a mistaken name): the walk begins again there."""
LEAST_ODDS = 1e-12

Y, X, VY, VX, PLACE, MIXED, PACE, ODDS = range(8)
"""Rows of the state: place (um) and velocity (um/s); variance of the place (um2), its
covariance with the velocity (um2/s) and variance of the velocity (um2/s2), the same on
both axes; the weight of the model, 1 in sum over the models."""

State = NDArray[np.float64]
"""(row, 8, model); a track keeps its row as long as it lives."""


@dataclass(frozen=True, slots=True)
class Walks:
    """The models, one column each."""

    speed_um_per_s: NDArray[np.float64]  # (model,) standard deviation of an axis
    persistence_s: NDArray[np.float64]  # (model,)
    level: NDArray[np.int64]  # (model,) which of the levels of noise

    def steps(self, step_s: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Give what a time step does.

        Parameters
        ----------
        step_s
            One step in s, or several as (step, 1).

        Returns
        -------
        (5, model), or (step, 5, model): the share of a velocity that is left; the path
        in s that it covers; what is added to the variance of the place (um2), to the
        covariance of both (um2/s), and to the variance of the velocity (um2/s2), each
        of one axis.
        """
        ratio = step_s / self.persistence_s
        left = np.exp(-ratio)
        power = self.speed_um_per_s**2
        # The exact bracket cancels to nothing for small steps: use its series there.
        bracket = np.where(
            ratio < 1e-3, 2 * ratio**3 / 3, 2 * ratio - 3 + 4 * left - left**2
        )
        return np.stack(
            (
                left,
                self.persistence_s * (1 - left),
                power * self.persistence_s**2 * bracket,
                power * self.persistence_s * (1 - left) ** 2,
                power * (1 - left**2),
            ),
            axis=-2,
        )


def all_walks() -> Walks:
    """Give every speed with every persistence and noise: 135 models.

    Of each level of noise the first does not move, then come the persistences one after
    the other, each with its speeds from slow to fast.
    """
    speed, persistence = np.meshgrid(SPEEDS_UM_PER_MIN, PERSISTENCES_MIN)
    levels = len(NOISE_LEVELS)
    each = 1 + speed.size
    return Walks(
        np.tile(np.append(0.0, speed.ravel()) / SECONDS_PER_MINUTE, levels),
        np.tile(np.append(1.0, persistence.ravel()) * SECONDS_PER_MINUTE, levels),
        np.repeat(np.arange(levels), each),
    )


@njit(nogil=True, cache=True, fastmath=True)
def advance(
    state: State,
    rows: NDArray[np.int64],
    steps: NDArray[np.float64],
    common: NDArray[np.float64],
    pace: NDArray[np.float64],
    another: float,
) -> None:
    """Let some rows go on by one time step, in place.

    Steps for each row: mean and variance of the place over the models; every model
    takes in the cells that begin its walk now, by moments; exact step of the filter.

    Parameters
    ----------
    state
        (row, 8, model), see `State`; written.
    rows
        (track,) rows that go on; no row twice.
    steps
        (5, model) of `Walks.steps`.
    common, pace
        (model,) how common each walk is (sum 1), and the variance of the velocity of an
        axis of a cell that begins it, um2/s2.
    another
        Probability that a cell begins another walk within the step.
    """
    models = state.shape[2]
    for i in range(len(rows)):
        s = state[rows[i]]
        y = x = 0.0
        for k in range(models):
            y += s[ODDS, k] * s[Y, k]
            x += s[ODDS, k] * s[X, k]
        spread = 0.0
        for k in range(models):
            away = (s[Y, k] - y) ** 2 + (s[X, k] - x) ** 2
            spread += s[ODDS, k] * (s[PLACE, k] + 0.5 * away)
        for k in range(models):
            fresh = another * common[k]
            odds = (1 - another) * s[ODDS, k] + fresh
            new = fresh / max(odds, 1e-300)
            old = 1 - new
            dy, dx = y - s[Y, k], x - s[X, k]
            place = old * s[PLACE, k] + new * spread
            place += 0.5 * new * old * (dy * dy + dx * dx)
            mixed = old * s[MIXED, k]
            mixed -= 0.5 * new * old * (dy * s[VY, k] + dx * s[VX, k])
            quick = 0.5 * new * old * (s[VY, k] ** 2 + s[VX, k] ** 2)
            quick += old * s[PACE, k] + new * pace[k]
            vy, vx = old * s[VY, k], old * s[VX, k]
            left, path = steps[0, k], steps[1, k]
            s[Y, k] += new * dy + path * vy
            s[X, k] += new * dx + path * vx
            s[VY, k], s[VX, k] = left * vy, left * vx
            s[PLACE, k] = place + 2 * path * mixed + path**2 * quick + steps[2, k]
            s[MIXED, k] = left * (mixed + path * quick) + steps[3, k]
            s[PACE, k] = left**2 * quick + steps[4, k]
            s[ODDS, k] = odds


@njit(nogil=True, cache=True, fastmath=True)
def correct(
    state: State,
    rows: NDArray[np.int64],
    seen_um: NDArray[np.float64],
    noise_um2: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Take in one measured centre (yx) for each of some rows, in place.

    Steps for each row: squared distances and likelihoods of the models; a jump is left
    alone and told; exact update of every filter and of the weights.

    Parameters
    ----------
    state
        (row, 8, model), see `State`; written.
    rows
        (track,) rows that were measured; no row twice.
    seen_um
        (track, yx) measured centres.
    noise_um2
        (model,) variance of a measured centre on an axis.

    Returns
    -------
    (track,) which of them jumped; and (3, model) weighted sums over the others: of what
    is left between centre and place, squared, with the variance of the place, whose
    expectation is the noise (um2 of an axis); of the squared velocity with its
    variance, whose expectation is that of the walk (um2/s2); and of the weights alone.
    """
    models = state.shape[2]
    jumped = np.zeros(len(rows), np.bool_)
    far, share = np.empty(models), np.empty(models)
    rest = np.zeros((3, models))
    for j in range(len(rows)):
        s = state[rows[j]]
        nearest = np.inf
        for k in range(models):
            dy, dx = seen_um[j, 0] - s[Y, k], seen_um[j, 1] - s[X, k]
            total = s[PLACE, k] + noise_um2[k]
            far[k] = (dy * dy + dx * dx) / total
            share[k] = s[ODDS, k] / total
            nearest = min(nearest, far[k])
        if nearest > JUMP:
            jumped[j] = True
            continue
        weights = 0.0
        for k in range(models):
            # Relative to the nearest model: so not all of them can vanish.
            share[k] *= np.exp(0.5 * (nearest - far[k]))
            weights += share[k]
        for k in range(models):
            total = s[PLACE, k] + noise_um2[k]
            gain, lead = s[PLACE, k] / total, s[MIXED, k] / total
            dy, dx = seen_um[j, 0] - s[Y, k], seen_um[j, 1] - s[X, k]
            s[Y, k] += gain * dy
            s[X, k] += gain * dx
            s[VY, k] += lead * dy
            s[VX, k] += lead * dx
            s[PACE, k] -= lead * s[MIXED, k]
            s[MIXED, k] *= 1 - gain
            s[PLACE, k] *= 1 - gain
            s[ODDS, k] = max(share[k] / weights, LEAST_ODDS)
            away = 0.5 * (1 - gain) ** 2 * (dy * dy + dx * dx)
            rest[0, k] += s[ODDS, k] * (away + s[PLACE, k])
            quick = 0.5 * (s[VY, k] ** 2 + s[VX, k] ** 2) + s[PACE, k]
            rest[1, k] += s[ODDS, k] * quick
            rest[2, k] += s[ODDS, k]
    return jumped, rest


@njit(nogil=True, cache=True, fastmath=True)
def look_ahead(
    state: State,
    rows: NDArray[np.int64],
    steps: NDArray[np.float64],
    mean_um: NDArray[np.float64],
    cov_um2: NDArray[np.float64],
) -> None:
    """Write where some rows will be after each of some steps.

    Steps for each row and horizon: mean over the models; variance within and between
    them.

    Parameters
    ----------
    state
        (row, 8, model), see `State`; read only.
    rows
        (track,) rows that are looked at.
    steps
        (horizon, 5, model) of `Walks.steps`.
    mean_um, cov_um2
        (track, horizon, yx) and (track, horizon, yx, yx) of the place; written.
    """
    for j in range(len(rows)):
        s = state[rows[j]]
        for h in range(steps.shape[0]):
            y = x = within = yy = yx = xx = 0.0
            for k in range(state.shape[2]):
                odds, path = s[ODDS, k], steps[h, 1, k]
                # Differences from the first model keep the sums small: places are far
                # from zero, their spread is not.
                ky = s[Y, k] - s[Y, 0] + path * s[VY, k]
                kx = s[X, k] - s[X, 0] + path * s[VX, k]
                y += odds * ky
                x += odds * kx
                yy += odds * ky * ky
                yx += odds * ky * kx
                xx += odds * kx * kx
                within += odds * (
                    s[PLACE, k]
                    + 2 * path * s[MIXED, k]
                    + path * path * s[PACE, k]
                    + steps[h, 2, k]
                )
            mean_um[j, h, 0], mean_um[j, h, 1] = s[Y, 0] + y, s[X, 0] + x
            cov_um2[j, h, 0, 0] = within + max(yy - y * y, 0.0)
            cov_um2[j, h, 0, 1] = cov_um2[j, h, 1, 0] = yx - y * x
            cov_um2[j, h, 1, 1] = within + max(xx - x * x, 0.0)
