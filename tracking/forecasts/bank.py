"""A bank of persistent walks: every cell is all of them at once, by their odds.

Each model is an Ornstein-Uhlenbeck velocity of one speed and one persistence, followed
by an exact Kalman filter for any time step; the first one does not move at all. What a
cell did weighs the models (Bayes), and now and then a cell may begin another walk, so
that one which stops is soon believed to have stopped. How common each walk is, and how
exactly centres are measured, is learnt from all cells of the run: a dish of equal cells
ends with nearly one model, a mixed one keeps its mixture.

All tracks and models are one array, and one call of a kernel serves them all.
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

SECONDS_PER_MINUTE = 60.0
SPEEDS_UM_PER_MIN = 0.02 * 2.0 ** np.arange(11)
"""Standard deviations of the velocity of an axis, 0.02 to 20 um a minute."""
PERSISTENCES_MIN = np.array([1.5, 5.0, 15.0, 50.0])
ANOTHER_WALK_S = 180.0 * SECONDS_PER_MINUTE
"""Mean time after which a cell begins another walk: it divides, rounds up, dies."""
ASSUMED_TRACKS = 4.0
"""The walks are held to be equally common until more cells than this were followed."""
LEFT_OPEN = 0.02
"""Share of the common walks that is kept for those that nobody was seen on."""
NOISE_LEVELS = np.array([0.3, 1.0, 3.0])
"""Of the localisation of the settings: some cells are measured better than others."""
ASSUMED_MEASURES = 50.0
"""The localisation of the settings counts as much as so many measured centres."""
OFF_GRID = 2**0.75
"""A speed may be learnt to be so much faster or slower than it was assumed to be."""
MEASURES_KEPT = 20_000.0
JUMP = 36.0
"""A centre whose squared distance from every model is more than so many variances is
that of a jump (a merged mask, a mistaken name): the walk begins again there."""
LEAST_ODDS = 1e-12

Y, X, VY, VX, PLACE, MIXED, PACE, ODDS = range(8)
"""Rows of the state: place and velocity, their (co)variances of an axis, the weight."""

State = NDArray[np.float64]  # (track, 8, model)


@dataclass(frozen=True, slots=True)
class Walks:
    """The models, one column each."""

    speed_um_per_s: NDArray[np.float64]  # (model,) standard deviation of an axis
    persistence_s: NDArray[np.float64]  # (model,)
    level: NDArray[np.int64]  # (model,) which of the levels of noise

    def steps(self, step_s: float) -> NDArray[np.float64]:
        """Give what a time step does: (5, model).

        What is left of a velocity, the path that it covers in s, and what is added to
        the variances of place (um2), of both (um2/s), of velocity (um2/s2).
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
            )
        )


def all_walks() -> Walks:
    """Give every speed with every persistence and noise; the first does not move."""
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
    steps: NDArray[np.float64],
    common: NDArray[np.float64],
    pace: NDArray[np.float64],
    another: float,
) -> None:
    """Let all tracks go on by one time step, in place.

    Steps for each track: mean and variance of the place over the models; every model
    takes in the cells that begin its walk now, by moments; exact step of the filter.
    ``another`` is the probability of a new walk, ``pace`` the velocity variance of it.
    """
    models = state.shape[2]
    for i in range(state.shape[0]):
        s = state[i]
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

    Returns
    -------
    Which rows jumped; and (3, model) weighted sums over the other rows: of what is left
    between centre and place, squared, with the variance of the place, whose expectation
    is the noise (um2 of an axis); of the squared velocity with its variance, whose
    expectation is that of the walk; and of the weights alone.
    """
    models = state.shape[2]
    jumped = np.zeros(len(rows), np.bool_)
    score = np.empty(models)
    rest = np.zeros((3, models))
    for j in range(len(rows)):
        s = state[rows[j]]
        nearest, best = np.inf, -np.inf
        for k in range(models):
            dy, dx = seen_um[j, 0] - s[Y, k], seen_um[j, 1] - s[X, k]
            total = s[PLACE, k] + noise_um2[k]
            far = (dy * dy + dx * dx) / total
            nearest = min(nearest, far)
            score[k] = np.log(s[ODDS, k] + 1e-300) - np.log(total) - 0.5 * far
            best = max(best, score[k])
        if nearest > JUMP:
            jumped[j] = True
            continue
        weights = 0.0
        for k in range(models):
            score[k] = np.exp(score[k] - best)
            weights += score[k]
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
            s[ODDS, k] = max(score[k] / weights, LEAST_ODDS)
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
    """Write where some rows will be after each of some steps (horizon, 5, model).

    Steps for each row and horizon: mean over the models; variance within and between
    them. ``mean_um`` is (row, horizon, yx), ``cov_um2`` (row, horizon, yx, yx).
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


class Bank:
    """The walks of all tracks of one stage position.

    Parameters
    ----------
    localisation_um
        Standard deviation of a measured centre on each axis, to begin with.
    """

    def __init__(self, localisation_um: float) -> None:
        self._walks = all_walks()
        models = self._walks.speed_um_per_s.size
        self._pace = self._walks.speed_um_per_s**2
        self._nominal = self._pace[: models // NOISE_LEVELS.size]
        self._paces = np.full(self._nominal.size, ASSUMED_MEASURES)
        self._assumed = np.full(models, 1 / models)
        self._common = self._assumed.copy()
        self._ended = np.zeros(models)  # weights of tracks that are no more
        self._noise_um2 = (localisation_um * NOISE_LEVELS) ** 2  # (level,)
        self._measures = np.full(NOISE_LEVELS.size, ASSUMED_MEASURES)
        self._ids = np.empty(0, np.int64)
        self._state = np.empty((0, 8, models))
        self._time_s: float | None = None

    def noise_um2(self, track_id: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give how exactly tracks are measured: variance of an axis, as learnt.

        Raises
        ------
        KeyError
            If an id was not among those of the last frame.
        """
        odds = self._state[self._rows(track_id), ODDS]
        return odds @ self._noise_um2[self._walks.level]

    @property
    def common(self) -> NDArray[np.float64]:
        """How common each walk is, (model,)."""
        return self._common

    def observe(
        self,
        time_s: float,
        track_id: NDArray[np.int64],
        centre_um: NDArray[np.float64],
        seen: NDArray[np.bool_],
        live: NDArray[np.bool_],
    ) -> None:
        """Take in one frame: the tracks there are (by id), and where they were seen.

        Parameters
        ----------
        centre_um
            Measured centres (track, yx); of tracks that were not seen, their place.
        seen
            Which of them were measured in this frame; only they are learnt from.
        live
            Which live: how common the walks are is learnt from them.
        """
        later = self._time_s is None or time_s > self._time_s
        if later and self._time_s is not None and self._ids.size:
            step_s = time_s - self._time_s
            another = -np.expm1(-step_s / ANOTHER_WALK_S)
            steps = self._walks.steps(step_s)
            advance(self._state, steps, self._common, self._pace, another)
        known = self._keep(track_id)
        if later:
            rows = np.flatnonzero(known & seen)
            noise_um2 = self._noise_um2[self._walks.level]
            jumped, rest = correct(self._state, rows, centre_um[rows], noise_um2)
            self._learn_noise(rest)
            self._learn_speeds(rest)
            self._begin(rows[jumped], centre_um)
            self._time_s = time_s
        self._begin(np.flatnonzero(~known), centre_um)
        self._learn_common(live)

    def predict(
        self,
        track_id: NDArray[np.int64],
        horizons_s: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Forecast tracks that were observed: mean (track, horizon, yx), covariance.

        Raises
        ------
        KeyError
            If an id was not among those of the last frame.
        """
        rows = self._rows(track_id)
        mean_um = np.empty((rows.size, horizons_s.size, 2))
        cov_um2 = np.empty((rows.size, horizons_s.size, 2, 2))
        steps = np.empty((horizons_s.size, 5, self._pace.size))
        for index, horizon_s in enumerate(horizons_s.tolist()):
            steps[index] = self._walks.steps(horizon_s)
        look_ahead(self._state, rows, steps, mean_um, cov_um2)
        return mean_um, cov_um2

    def _rows(self, track_id: NDArray[np.int64]) -> NDArray[np.int64]:
        if not np.isin(track_id, self._ids).all():
            raise KeyError("forecast of a track that was not observed in this frame")
        return np.searchsorted(self._ids, track_id)

    def _keep(self, track_id: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Keep the rows of these tracks, in their order; tell which had one."""
        place = np.searchsorted(self._ids, track_id)
        inside = np.minimum(place, max(self._ids.size - 1, 0))
        known = np.zeros(track_id.size, np.bool_)
        if self._ids.size:
            known = self._ids[inside] == track_id
        ended = np.isin(self._ids, track_id, invert=True)
        self._ended += self._state[ended, ODDS].sum(axis=0)
        state = np.empty((track_id.size, 8, self._pace.size))
        state[known] = self._state[inside[known]]
        self._ids, self._state = track_id.copy(), state
        return known

    def _begin(self, rows: NDArray[np.int64], centre_um: NDArray[np.float64]) -> None:
        self._state[rows, Y] = centre_um[rows, :1]
        self._state[rows, X] = centre_um[rows, 1:]
        self._state[rows, VY : VX + 1] = 0.0
        self._state[rows, PLACE] = self._noise_um2[self._walks.level]
        self._state[rows, MIXED] = 0.0
        self._state[rows, PACE] = self._pace
        self._state[rows, ODDS] = self._common

    def _learn_noise(self, rest: NDArray[np.float64]) -> None:
        """One step of expectation maximisation of the levels of noise."""
        levels = NOISE_LEVELS.size
        left_um2 = np.bincount(self._walks.level, rest[0], levels)
        count = np.bincount(self._walks.level, rest[2], levels)
        kept = np.minimum(self._measures, MEASURES_KEPT)
        self._measures = kept + count
        self._noise_um2 += (left_um2 - count * self._noise_um2) / self._measures

    def _learn_speeds(self, rest: NDArray[np.float64]) -> None:
        """Do so with the speeds: equal cells shall end on one walk, not between two."""
        levels = NOISE_LEVELS.size
        square, count = rest[1:].reshape(2, levels, -1).sum(axis=1)
        kept = np.minimum(self._paces, MEASURES_KEPT)
        self._paces = kept + count
        pace = self._pace.reshape(levels, -1)[0]
        pace = pace + (square - count * pace) / self._paces
        pace = np.clip(pace, self._nominal / OFF_GRID**2, self._nominal * OFF_GRID**2)
        self._pace = np.tile(pace, levels)
        self._walks = replace(self._walks, speed_um_per_s=np.sqrt(self._pace))

    def _learn_common(self, live: NDArray[np.bool_]) -> None:
        """One step of expectation maximisation of how common the walks are."""
        present = self._state[live, ODDS].sum(axis=0)
        self._ended *= min(1.0, 1000.0 / max(self._ended.sum(), 1.0))
        counts = ASSUMED_TRACKS * self._assumed + self._ended + present
        common = (1 - LEFT_OPEN) * counts / counts.sum() + LEFT_OPEN * self._assumed
        # The tracks were weighed by the former figures: weigh them by the new ones.
        odds = self._state[:, ODDS] * (common / self._common)
        self._state[:, ODDS] = odds / odds.sum(axis=1, keepdims=True)
        self._common = common
