"""How a cell moves: a bank of persistent random walks, mixed for every cell.

Each walk has an Ornstein-Uhlenbeck velocity on both axes, solved exactly for any time
step, so that frames may come at irregular times. Every cell keeps one Kalman filter a
walk and the probability of each walk; how fast and how straight cells go is therefore
learnt from them while they are watched, for each cell and for all of them (the prior of
a new cell). Bayes' rule uses a heavy-tailed (Student t) likelihood: a push by a
neighbour tells little about how a cell walks.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

SPEED_SIGMAS = 3.0
"""The fastest believable cell is taken as three standard deviations of an axis."""
SPEED_SHARES = (1.0, 0.5, 0.25, 0.1, 0.02)
"""Speeds of the bank as shares of the fastest believable one ..."""
PERSISTENCE_FRAMES = (0.5, 2.0, 8.0)
"""... and persistence times, in usual frame intervals."""
FORGETTING = 0.02
"""Share of the prior that flows back into the walks of a cell at every sighting: cells
change their ways, and none is ever ruled out."""
LEARNING = 0.05
"""Share of the newest frame in the prior."""
TAIL = 4.0
"""Degrees of freedom of the likelihoods."""

Y, X, VY, VX, PP, PV, VV, WEIGHT = range(8)
"""Fields of a state (track, field, walk): place in um and velocity in um/s, their
variances on an axis (um2, um2/s, um2/s2), and the probability of the walk."""
FIELDS = 8
LEFT, PATH, NOISE_PP, NOISE_PV, NOISE_VV = range(5)
"""Rows of a step (row, walk): see `Walks.step`."""

_FAST = {"contract", "reassoc", "nsz", "arcp"}


@dataclass(frozen=True, slots=True)
class Motion:
    """A persistent random walk, the same on both axes."""

    speed_um_per_s: float  # standard deviation of the velocity of an axis
    persistence_s: float

    def decay(self, step_s: float) -> tuple[float, float]:
        """Give what is left of a velocity after a step, and the path it covers.

        Returns
        -------
        Remaining share of the velocity, and displacement per unit of velocity in s.
        """
        left = math.exp(-step_s / self.persistence_s)
        return left, self.persistence_s * (1 - left)

    def noise(self, step_s: float) -> tuple[float, float, float]:
        """Give the variance that a step adds to a known position and velocity.

        Returns
        -------
        Variance of the position (um2), covariance (um2/s), of the velocity (um2/s2).
        """
        ratio = step_s / self.persistence_s
        left = math.exp(-ratio)
        power = self.speed_um_per_s**2
        # The exact bracket cancels to nothing for small steps: use its series there.
        bracket = (
            2 * ratio**3 / 3 if ratio < 1e-3 else 2 * ratio - 3 + 4 * left - left**2
        )
        position = power * self.persistence_s**2 * bracket
        mixed = power * self.persistence_s * (1 - left) ** 2
        return position, mixed, power * (1 - left**2)


@dataclass(frozen=True, slots=True)
class Walks:
    """The walks of a bank."""

    walk: tuple[Motion, ...]

    def step(self, step_s: float) -> NDArray[np.float64]:
        """Give what a time step does, (row, walk).

        Returns
        -------
        Rows ``LEFT`` and ``PATH`` as in `Motion.decay`, then those of `Motion.noise`.
        """
        columns = [(*walk.decay(step_s), *walk.noise(step_s)) for walk in self.walk]
        return np.array(columns).T.copy()

    def power(self) -> NDArray[np.float64]:
        """Give the variance of the velocity of an axis, (walk,) in um2/s2."""
        return np.array([walk.speed_um_per_s**2 for walk in self.walk])

    def even(self) -> NDArray[np.float64]:
        """Give the prior of nothing known, (walk,)."""
        return np.full(len(self.walk), 1 / len(self.walk))


def lay_out(
    fastest_um_per_s: float,
    interval_s: float,
    shares: tuple[float, ...] = SPEED_SHARES,
    persistence: tuple[float, ...] = PERSISTENCE_FRAMES,
) -> Walks:
    """Give a bank for cells up to a speed, watched at a usual interval.

    Parameters
    ----------
    fastest_um_per_s
        The fastest believable cell.
    interval_s
        The usual time between frames; persistence is told apart around it.
    shares, persistence
        Shares of the fastest speed, and persistence times in intervals; the bank holds
        every pair.
    """
    top = fastest_um_per_s / SPEED_SIGMAS
    return Walks(
        tuple(
            Motion(top * share, interval_s * frames)
            for share in shares
            for frames in persistence
        )
    )


def begin(
    centre_um: NDArray[np.float64],
    noise_um2: float,
    walks: Walks,
    prior: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give the states of cells seen once at these places, (track, field, walk)."""
    state = np.zeros((len(centre_um), FIELDS, len(walks.walk)))
    state[:, Y], state[:, X] = centre_um[:, :1], centre_um[:, 1:]
    state[:, PP], state[:, VV], state[:, WEIGHT] = noise_um2, walks.power(), prior
    return state


@njit(nogil=True, cache=True, fastmath=_FAST)
def predict(state, step):  # type: ignore[no-untyped-def]
    """Carry all states (track, field, walk) over one step (row, walk), in place."""
    for track in range(state.shape[0]):
        one = state[track]
        for walk in range(one.shape[1]):
            left, path = step[LEFT, walk], step[PATH, walk]
            one[Y, walk] += path * one[VY, walk]
            one[X, walk] += path * one[VX, walk]
            one[VY, walk] *= left
            one[VX, walk] *= left
            mixed, velocity = one[PV, walk], one[VV, walk]
            one[PP, walk] += path * (2 * mixed + path * velocity) + step[NOISE_PP, walk]
            one[PV, walk] = left * (mixed + path * velocity) + step[NOISE_PV, walk]
            one[VV, walk] = left * left * velocity + step[NOISE_VV, walk]


@njit(nogil=True, cache=True, fastmath=_FAST)
def correct(state, track, y, x, noise, prior):  # type: ignore[no-untyped-def]
    """Update one state by a place that was measured, in place."""
    one = state[track]
    total = 0.0
    for walk in range(one.shape[1]):
        variance = one[PP, walk] + noise
        inverse = 1 / variance
        dy, dx = y - one[Y, walk], x - one[X, walk]
        tail = inverse / (1 + (dy * dy + dx * dx) * inverse / TAIL)
        one[WEIGHT, walk] *= tail * tail * tail * variance * variance
        total += one[WEIGHT, walk]
        place, velocity = one[PP, walk] * inverse, one[PV, walk] * inverse
        one[Y, walk] += place * dy
        one[X, walk] += place * dx
        one[VY, walk] += velocity * dy
        one[VX, walk] += velocity * dx
        one[VV, walk] -= velocity * one[PV, walk]
        one[PP, walk] *= 1 - place
        one[PV, walk] *= 1 - place
    scale = 1 / total
    for walk in range(one.shape[1]):
        known = one[WEIGHT, walk] * scale
        one[WEIGHT, walk] = known + FORGETTING * (prior[walk] - known)


@njit(nogil=True, cache=True, fastmath=_FAST)
def correct_share(one, share, away, rest, noise):  # type: ignore[no-untyped-def]
    """Update one state by the centre of a blob of which the cell is only a part.

    ``share`` is the part of the cell in the area of the blob, ``away`` (yx) how far
    the blob lies from the centre that all its cells together predict, ``rest`` the
    variance of that centre due to the other cells. The cells keep their places
    relative to one another, for the blob says nothing about those.
    """
    middle_y, middle_x = 0.0, 0.0
    for walk in range(one.shape[1]):
        middle_y += one[WEIGHT, walk] * one[Y, walk]
        middle_x += one[WEIGHT, walk] * one[X, walk]
    for walk in range(one.shape[1]):
        variance = share * share * one[PP, walk] + rest + noise
        dy = away[0] - share * (one[Y, walk] - middle_y)
        dx = away[1] - share * (one[X, walk] - middle_x)
        place = share * one[PP, walk] / variance
        velocity = share * one[PV, walk] / variance
        one[Y, walk] += place * dy
        one[X, walk] += place * dx
        one[VY, walk] += velocity * dy
        one[VX, walk] += velocity * dx
        one[VV, walk] -= velocity * share * one[PV, walk]
        one[PP, walk] *= 1 - share * place
        one[PV, walk] *= 1 - share * place


@njit(nogil=True, cache=True, fastmath=_FAST)
def summarise(one):  # type: ignore[no-untyped-def]
    """Give y, x, vy, vx and the variance of an axis of the mixture of one state."""
    y, x, vy, vx, square, inside = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    base_y, base_x = one[Y, 0], one[X, 0]
    for walk in range(one.shape[1]):
        weight = one[WEIGHT, walk]
        dy, dx = one[Y, walk] - base_y, one[X, walk] - base_x
        y += weight * dy
        x += weight * dx
        vy += weight * one[VY, walk]
        vx += weight * one[VX, walk]
        square += weight * (dy * dy + dx * dx)
        inside += weight * one[PP, walk]
    between = max((square - y * y - x * x) / 2, 0.0)
    return base_y + y, base_x + x, vy, vx, inside + between


@njit(nogil=True, cache=True, fastmath=_FAST)
def likelihood(state, track, y, x, noise):  # type: ignore[no-untyped-def]
    """Give the density of a measured place under one state, but for a constant."""
    density = 0.0
    for walk in range(state.shape[2]):
        variance = state[track, PP, walk] + noise
        dy, dx = y - state[track, Y, walk], x - state[track, X, walk]
        # 1 / (variance (1 + square / (TAIL variance))^3) with a single division
        wide = TAIL * variance + dy * dy + dx * dx
        share = state[track, WEIGHT, walk] * variance * variance
        density += share / (wide * wide * wide)
    return TAIL**3 * density


@njit(nogil=True, cache=True, fastmath=_FAST)
def learn_prior(state, chosen, prior):  # type: ignore[no-untyped-def]
    """Move the prior (walk,) towards the mean weights of the chosen tracks."""
    mean = np.zeros_like(prior)
    count = 0
    for track in range(chosen.size):
        if chosen[track]:
            count += 1
            for walk in range(mean.size):
                mean[walk] += state[track, WEIGHT, walk]
    if count:
        share = LEARNING * count / (count + 10.0)
        for walk in range(mean.size):
            prior[walk] += share * (mean[walk] / count - prior[walk])
