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
FORGETTING = np.float32(0.02)
"""Share of the prior that flows back into the walks of a cell at every sighting: cells
change their ways, and none is ever ruled out."""
LEARNING = 0.05
"""Share of the newest frame in the prior."""
TAIL = np.float32(4.0)
"""Degrees of freedom of the likelihoods."""

LANES = 16
"""A bank has so many walks at most: as numbers of four bytes they are a line of the
cache, and a compiler that knows how many they are needs no loop."""
Y, X, VY, VX, PP, PV, VV, WEIGHT = range(0, 8 * LANES, LANES)
"""Where the fields of a state begin (track, field and walk): place in um from the
anchor of the track and velocity in um/s, their variances on an axis (um2, um2/s,
um2/s2), and the probability of the walk. Near an anchor four bytes are enough."""
STATE = 8 * LANES
LEFT, PATH, NOISE_PP, NOISE_PV, NOISE_VV = range(5)
"""Rows of a step (row, walk): see `Walks.step`."""

NONE, UNIT, TWO = np.float32(0), np.float32(1), np.float32(2)
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

    def step(self, step_s: float) -> NDArray[np.float32]:
        """Give what a time step does, (row, walk).

        Returns
        -------
        Rows ``LEFT`` and ``PATH`` as in `Motion.decay`, then those of `Motion.noise`.
        """
        columns = [(*walk.decay(step_s), *walk.noise(step_s)) for walk in self.walk]
        return _in_lanes(np.array(columns).T)

    def power(self) -> NDArray[np.float32]:
        """Give the variance of the velocity of an axis, (walk,) in um2/s2."""
        return _in_lanes(np.array([walk.speed_um_per_s**2 for walk in self.walk]))

    def even(self) -> NDArray[np.float32]:
        """Give the prior of nothing known, (walk,)."""
        return _in_lanes(np.full(len(self.walk), 1 / len(self.walk)))


def _in_lanes(values: NDArray[np.float64]) -> NDArray[np.float32]:
    # Lanes beyond the walks of a bank do not move and have no weight.
    lanes = np.zeros((*values.shape[:-1], LANES), np.float32)
    lanes[..., : values.shape[-1]] = values
    return lanes


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
    count: int, noise_um2: float, walks: Walks, prior: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Give the states of cells seen once at their anchors, (track, field and walk)."""
    state = np.zeros((count, STATE), np.float32)
    state[:, PP : PP + LANES] = noise_um2
    state[:, VV : VV + LANES] = walks.power()
    state[:, WEIGHT:] = prior
    return state


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def predict(state, track, step):  # type: ignore[no-untyped-def]
    """Carry a state over one step (row, walk), in place."""
    for walk in range(LANES):
        left, path = step[LEFT, walk], step[PATH, walk]
        vy, vx = state[track, VY + walk], state[track, VX + walk]
        state[track, Y + walk] += path * vy
        state[track, X + walk] += path * vx
        state[track, VY + walk] = left * vy
        state[track, VX + walk] = left * vx
        mixed, velocity = state[track, PV + walk], state[track, VV + walk]
        along = mixed + path * velocity
        state[track, PP + walk] += path * (mixed + along) + step[NOISE_PP, walk]
        state[track, PV + walk] = left * along + step[NOISE_PV, walk]
        state[track, VV + walk] = left * left * velocity + step[NOISE_VV, walk]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def correct(state, track, y, x, noise, prior):  # type: ignore[no-untyped-def]
    """Update a state by a place measured at (y, x) from its anchor, in place.

    The measured place is the anchor from then on.
    """
    total = NONE
    for walk in range(LANES):
        variance = state[track, PP + walk] + noise
        inverse = UNIT / variance
        dy, dx = y - state[track, Y + walk], x - state[track, X + walk]
        tail = UNIT / (UNIT + (dy * dy + dx * dx) * inverse / TAIL)
        state[track, WEIGHT + walk] *= tail * tail * tail * inverse
        total += state[track, WEIGHT + walk]
        velocity = state[track, PV + walk] * inverse
        rest = noise * inverse  # what a measured place leaves of the expected one
        state[track, Y + walk] = -rest * dy
        state[track, X + walk] = -rest * dx
        state[track, VY + walk] += velocity * dy
        state[track, VX + walk] += velocity * dx
        state[track, VV + walk] -= velocity * state[track, PV + walk]
        state[track, PP + walk] *= rest
        state[track, PV + walk] *= rest
    scale = UNIT / total
    for walk in range(LANES):
        known = state[track, WEIGHT + walk] * scale
        state[track, WEIGHT + walk] = known + FORGETTING * (prior[walk] - known)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def correct_share(state, track, share, away, rest, noise):  # type: ignore[no-untyped-def]
    """Update a state by the centre of a blob of which the cell is only a part.

    ``share`` is the part of the cell in the area of the blob, ``away`` (yx) how far
    the blob lies from the centre that all its cells together predict, ``rest`` the
    variance of that centre due to the other cells. The cells keep their places
    relative to one another, for the blob says nothing about those.
    """
    middle_y, middle_x = NONE, NONE
    for walk in range(LANES):
        middle_y += state[track, WEIGHT + walk] * state[track, Y + walk]
        middle_x += state[track, WEIGHT + walk] * state[track, X + walk]
    share, rest, noise = np.float32(share), np.float32(rest), np.float32(noise)
    away_y, away_x = np.float32(away[0]), np.float32(away[1])
    for walk in range(LANES):
        variance = share * share * state[track, PP + walk] + rest + noise
        dy = away_y - share * (state[track, Y + walk] - middle_y)
        dx = away_x - share * (state[track, X + walk] - middle_x)
        place = share * state[track, PP + walk] / variance
        velocity = share * state[track, PV + walk] / variance
        state[track, Y + walk] += place * dy
        state[track, X + walk] += place * dx
        state[track, VY + walk] += velocity * dy
        state[track, VX + walk] += velocity * dx
        state[track, VV + walk] -= velocity * share * state[track, PV + walk]
        left = (rest + noise) / variance  # one less share times place
        state[track, PP + walk] *= left
        state[track, PV + walk] *= left


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def summarise(state, anchor, expected, track):  # type: ignore[no-untyped-def]
    """Fill in y, x, vy, vx and the variance of an axis of the mixture of one state."""
    y, x, vy, vx, square, inside = NONE, NONE, NONE, NONE, NONE, NONE
    base_y, base_x = state[track, Y], state[track, X]
    for walk in range(LANES):
        weight = state[track, WEIGHT + walk]
        dy, dx = state[track, Y + walk] - base_y, state[track, X + walk] - base_x
        y += weight * dy
        x += weight * dx
        vy += weight * state[track, VY + walk]
        vx += weight * state[track, VX + walk]
        square += weight * (dy * dy + dx * dx)
        inside += weight * state[track, PP + walk]
    expected[track, 0] = anchor[track, 0] + (base_y + y)
    expected[track, 1] = anchor[track, 1] + (base_x + x)
    expected[track, 2], expected[track, 3] = vy, vx
    expected[track, 4] = inside + max((square - y * y - x * x) / TWO, NONE)


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def likelihood(state, track, y, x, noise):  # type: ignore[no-untyped-def]
    """Give the density of a place measured at (y, x) from the anchor of a state.

    But for a constant.
    """
    density = NONE
    for walk in range(LANES):
        variance = state[track, PP + walk] + noise
        dy, dx = y - state[track, Y + walk], x - state[track, X + walk]
        # 1 / (variance (1 + square / (TAIL variance))^3) with a single division
        inverse = UNIT / (TAIL * variance + dy * dy + dx * dx)
        near = TAIL * variance * inverse
        density += state[track, WEIGHT + walk] * near * near * inverse
    return TAIL * density


@njit(nogil=True, cache=True, error_model="numpy", fastmath=_FAST)
def add_weights(state, track, total):  # type: ignore[no-untyped-def]
    """Add the probabilities of the walks of a state to a total (walk,), in place."""
    for walk in range(LANES):
        total[walk] += state[track, WEIGHT + walk]


@njit(nogil=True, cache=True, error_model="numpy")
def learn_prior(total, count, prior):  # type: ignore[no-untyped-def]
    """Move the prior (walk,) towards the mean of so many tracks, in place."""
    if count:
        share = LEARNING * count / (count + 10.0)
        for walk in range(LANES):
            prior[walk] += share * (total[walk] / count - prior[walk])
