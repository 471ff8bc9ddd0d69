"""A bank of persistent walks: every cell is all of them at once, by their odds.

Each model is an Ornstein-Uhlenbeck velocity of one speed and one persistence, followed
by an exact Kalman filter for any time step; the first one does not move at all. What a
cell did weighs the models (Bayes), and now and then a cell may begin another walk, so
that one which stops is soon believed to have stopped. How common each walk is, and how
exactly centres are measured, is learnt from all cells of the run: a dish of equal cells
ends with nearly one model, a mixed one keeps its mixture.

All tracks and models are one array, and one call of a kernel serves them all. A track
keeps its row of the array as long as it lives: 5000 tracks are 43 MB, which would take
longer to carry from frame to frame than to compute with.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tracking.forecasts.walks import (
    MIXED,
    NOISE_LEVELS,
    ODDS,
    PACE,
    PLACE,
    SECONDS_PER_MINUTE,
    VX,
    VY,
    X,
    Y,
    advance,
    all_walks,
    correct,
    look_ahead,
)

ANOTHER_WALK_S = 180.0 * SECONDS_PER_MINUTE
"""Mean time after which a cell begins another walk: it divides, rounds up, dies."""
ASSUMED_TRACKS = 4.0
"""The walks are held to be equally common until more cells than this were followed."""
LEFT_OPEN = 0.02
"""Share of the common walks that is kept for those that nobody was seen on."""
ASSUMED_MEASURES = 50.0
"""The localisation of the settings counts as much as so many measured centres."""
OFF_GRID = 2**0.75
"""A speed may be learnt to be so much faster or slower than it was assumed to be."""
MEASURES_KEPT = 20_000.0


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
        self._ids = np.empty(0, np.int64)  # (track,) ascending
        self._row = np.empty(0, np.int64)  # (track,) of the state
        self._free = np.empty(0, np.int64)  # rows of no track
        self._state = np.empty((0, 8, models))
        self._measured: NDArray[np.float64] | None = None  # (track,) see `noise_um2`
        self._time_s: float | None = None

    def noise_um2(self, track_id: NDArray[np.int64]) -> NDArray[np.float64]:
        """Give how exactly tracks are measured: variance of an axis, as learnt.

        Raises
        ------
        KeyError
            If an id was not among those of the last frame.
        """
        if self._measured is None:
            odds = self._state[self._row, ODDS]
            self._measured = odds @ self._noise_um2[self._walks.level]
        return self._measured[self._places(track_id)]

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
            advance(self._state, self._row, steps, self._common, self._pace, another)
        known = self._keep(track_id)
        if later:
            at = np.flatnonzero(known & seen)
            noise_um2 = self._noise_um2[self._walks.level]
            rows = self._row[at]
            jumped, rest = correct(self._state, rows, centre_um[at], noise_um2)
            self._learn_noise(rest)
            self._learn_speeds(rest)
            self._begin(at[jumped], centre_um)
            self._time_s = time_s
        self._begin(np.flatnonzero(~known), centre_um)
        self._learn_common(live)
        self._measured = None

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
        rows = self._row[self._places(track_id)]
        mean_um = np.empty((rows.size, horizons_s.size, 2))
        cov_um2 = np.empty((rows.size, horizons_s.size, 2, 2))
        steps = self._walks.steps(horizons_s[:, None])
        look_ahead(self._state, rows, steps, mean_um, cov_um2)
        return mean_um, cov_um2

    def _places(self, track_id: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give where among the tracks of the last frame these are."""
        place = np.searchsorted(self._ids, track_id)
        last = self._ids.size - 1
        if track_id.size and (
            place.max() > last or (self._ids[place] != track_id).any()
        ):
            raise KeyError("forecast of a track that was not observed in this frame")
        return place

    def _keep(self, track_id: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Give these tracks rows, and free those of others; tell which had one."""
        known = np.zeros(track_id.size, np.bool_)
        ended = np.ones(self._ids.size, np.bool_)
        row = np.empty(track_id.size, np.int64)
        if self._ids.size:
            place = np.searchsorted(self._ids, track_id)
            place = np.minimum(place, self._ids.size - 1)
            known = self._ids[place] == track_id
            ended[place[known]] = False
            row[known] = self._row[place[known]]
        gone = self._row[ended]
        self._ended += self._state[gone, ODDS].sum(axis=0)
        self._free = np.concatenate((self._free, gone))
        new = track_id.size - int(known.sum())
        self._make_room(new - self._free.size)
        left = self._free.size - new
        row[~known] = self._free[left:]
        self._free = self._free[:left]
        self._ids, self._row = track_id.copy(), row
        return known

    def _make_room(self, missing: int) -> None:
        """Add rows for this many tracks, and as many again as there are already."""
        if missing <= 0:
            return
        old = len(self._state)
        state = np.empty((2 * old + missing, 8, self._pace.size))
        state[:old] = self._state
        self._free = np.concatenate((self._free, np.arange(old, len(state))))
        self._state = state

    def _begin(self, at: NDArray[np.int64], centre_um: NDArray[np.float64]) -> None:
        rows = self._row[at]
        self._state[rows, Y] = centre_um[at, :1]
        self._state[rows, X] = centre_um[at, 1:]
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
        odds = self._state[self._row, ODDS]
        present = odds[live].sum(axis=0)
        self._ended *= min(1.0, 1000.0 / max(self._ended.sum(), 1.0))
        counts = ASSUMED_TRACKS * self._assumed + self._ended + present
        common = (1 - LEFT_OPEN) * counts / counts.sum() + LEFT_OPEN * self._assumed
        # The tracks were weighed by the former figures: weigh them by the new ones.
        odds *= common / self._common
        self._state[self._row, ODDS] = odds / odds.sum(axis=1, keepdims=True)
        self._common = common
