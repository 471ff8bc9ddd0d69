"""How good the forecasts of this run have been, and how wide their bands must be.

Every forecast is kept until its horizon has come and is then compared with where the
cell was measured. From the errors come the figures of every model, live and dead cells
apart, and the factor that makes a band hold 90 % of the cells: the conformal quantile
of the errors relative to the stated deviations (Vovk et al. 2005; rolling, as cells and
doses change).

From them comes also how far an expected way is to be believed: as far as such ways led
anywhere in this run. Ways that are long for their deviation are judged apart from short
ones, which are mostly tremor; and none is believed before it has earned it.
"""

import math
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.records import BAND_SIGMAS

COVER = 0.9
ENOUGH = 50
"""Errors that must have been seen before they say anything about the next ones."""
RECENT = 4000
"""So many of the newest errors make the band."""
MEMORY = 20_000.0
"""About so many of the newest errors make the figures."""
MOST_WAITING = 60
"""Forecasts that wait for a horizon, about; of faster frames not all are kept."""
MOST_TRACKS = 1000
"""Of more tracks than this only every second, third ... is compared."""
LATE = 1.5
"""A frame later than this many horizons says nothing about that horizon."""
CLEAR = np.array([0.25, 0.5, 1.0])
"""Ways are of one kind between these lengths, in deviations of the measured centre."""
EARNED, APART = 9.0, 4.0
"""Of the share that all ways deserve, and of how far those of one kind are from it, so
many variances are taken off, over the value: what is within three, and within two,
standard errors of nothing is nothing (the positive part of James and Stein 1961)."""
A_FEW = 10
"""Of fewer ways the standard errors say nothing."""
MOST_TRUST = 1.5
LEAST_ERROR = 0.1
"""Errors below this many deviations weigh alike in the trust."""
ERROR, SQUARE, NLL, COVERED, COUNT = range(5)
"""What is summed: distance, its square, likelihood, whether the band held, cells ..."""
WENT, EXPECTED, WENT_2, WENT_EXPECTED, EXPECTED_2 = range(5, 10)
"""... and, weighed: went x expected, expected x expected, and products of these two."""
SUMS = 10


class Made(NamedTuple):
    """What the models said about one horizon in one frame."""

    time_s: float
    track_id: NDArray[np.int64]  # (track,)
    dead: NDArray[np.bool_]  # (track,)
    here_um: NDArray[np.float32]  # (track, yx)
    way_um: NDArray[np.float32]  # (model, track, yx) from here, before it was trusted
    centre_um: NDArray[np.float32]  # (model, track, yx) as told
    variance_um2: NDArray[np.float32]  # (model, track) of a measured centre, an axis
    factor: NDArray[np.float64]  # (model, live dead) of the band that was stated


class Scores:
    """Figures of several models over all positions of a run.

    Parameters
    ----------
    models
        Names.
    horizons
        How many.
    """

    def __init__(self, models: tuple[str, ...], horizons: int) -> None:
        self.models = models
        shape = (len(models), horizons, 2)  # live, dead
        self._sums = np.zeros((SUMS, *shape, CLEAR.size + 1))
        self._recent = np.empty((*shape, RECENT), np.float32)
        self._filled = np.zeros(shape[1:], np.int64)
        self._factor = np.ones(shape)
        self._stale = np.zeros(shape[1:], np.bool_)

    def factor(self) -> NDArray[np.float64]:
        """Give the factors on the stated deviations: (model, horizon, live dead).

        Until enough errors of a horizon were seen, it has the factor of the one before;
        the first has 1.
        """
        for horizon, kind in np.argwhere(self._stale).tolist():
            count = min(int(self._filled[horizon, kind]), RECENT)
            if count >= ENOUGH:
                rank = min(math.ceil((count + 1) * COVER), count) - 1
                seen = self._recent[:, horizon, kind, :count]
                quantile = np.partition(seen, rank, axis=1)[:, rank]
                self._factor[:, horizon, kind] = quantile / BAND_SIGMAS
        self._stale[:] = False
        factor = self._factor.copy()
        for horizon in range(1, factor.shape[1]):
            few = self._filled[horizon] < ENOUGH
            factor[:, horizon, few] = factor[:, horizon - 1, few]
        return factor

    def trust(self) -> NDArray[np.float64]:
        """Give the share of the ways to believe, (model, horizon, kind, clearness).

        Until enough errors of a horizon were seen, it has the shares of the one before;
        the first has none: cells are held to stay.
        """
        ways = self._sums[WENT:]
        common = _proven(*_fitted_share(ways.sum(axis=-1, keepdims=True)), EARNED)
        common = np.clip(common, 0.0, MOST_TRUST)
        share, variance = _fitted_share(ways)
        own = _proven(share - common, variance, APART)
        known = self._sums[COUNT] >= A_FEW
        trust = np.clip(common + np.where(known, own, 0.0), 0.0, MOST_TRUST)
        trust[:, 0, self._filled[0] < A_FEW] = 0.0
        for horizon in range(1, trust.shape[1]):
            few = self._filled[horizon] < ENOUGH
            trust[:, horizon, few] = trust[:, horizon - 1, few]
        return trust

    def figures(self, model: str, kind: int = 0) -> dict[str, float] | None:
        """Give error (um), skill over staying, NLL and coverage of live (0) cells.

        Means over the horizons of which enough is known; ``None``: of none is.
        """
        all_sums = self._sums[: COUNT + 1, :, :, kind].sum(axis=-1)
        sums = all_sums[:, self.models.index(model)]
        still = all_sums[SQUARE, self.models.index("stay")]
        known = sums[COUNT] >= ENOUGH
        if not known.any():
            return None
        error, square, nll, covered, count = sums[:, known]
        return {
            "error_um": float((error / count).mean()),
            "skill": float((1 - square / np.maximum(still[known], 1e-12)).mean()),
            "nll": float((nll / count).mean()),
            "coverage": float((covered / count).mean()),
        }

    def learn(
        self,
        horizon: int,
        made: Made,
        track_id: NDArray[np.int64],
        centre_um: NDArray[np.float64],
        elapsed: float,
    ) -> None:
        """Take in where the cells of a forecast came to be.

        Parameters
        ----------
        track_id, centre_um
            (track,) ascending, and (track, yx): the tracks that are measured now.
        elapsed
            Since the forecast, in horizons. A frame that came late saw a longer way:
            the squared error is scaled as diffusion does.
        """
        sums = np.zeros((SUMS, len(self.models), 2, CLEAR.size + 1))
        relative = np.empty((len(self.models), made.track_id.size), np.float32)
        dead = judge(made, track_id, centre_um, elapsed, sums, relative)
        counts = np.bincount(dead, minlength=2)
        kept = self._sums[:, :, horizon]
        kept *= np.exp(-counts / MEMORY)[:, None]
        kept += sums
        for kind in np.flatnonzero(counts).tolist():
            start = int(self._filled[horizon, kind])
            at = (start + np.arange(counts[kind])) % RECENT
            mine = relative[:, : dead.size][:, dead == kind]
            self._recent[:, horizon, kind, at] = mine
            self._filled[horizon, kind] += counts[kind]
            self._stale[horizon, kind] = True


def _fitted_share(
    ways: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the share of weighted least squares, and its variance by what is left over.

    ``ways`` are the sums from `WENT` on. The variance holds for errors of any size
    (White 1980).
    """
    went, expected, went_2, both, expected_2 = ways
    expected = np.maximum(expected, 1e-12)
    share = went / expected
    left = np.maximum(went_2 - 2 * share * both + share**2 * expected_2, 0.0)
    return share, left / expected**2


def _proven(
    value: NDArray[np.float64], variance: NDArray[np.float64], enough: float
) -> NDArray[np.float64]:
    """Give what is left of a value when ``enough`` variances are taken off."""
    square = np.maximum(value**2, 1e-24)
    return value * np.maximum(0.0, 1 - enough * variance / square)


def clearness(
    way_um: NDArray[np.float64], variance_um2: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Give of which kind ways (..., yx) are, by their length in deviations."""
    ratio = np.linalg.norm(way_um, axis=-1) / np.sqrt(np.maximum(variance_um2, 1e-9))
    return np.searchsorted(CLEAR, ratio, side="right")


@njit(nogil=True, cache=True)
def judge(  # noqa: PLR0915 (fused kernel, steps in the docstring)
    made: Made,
    track_id: NDArray[np.int64],
    centre_um: NDArray[np.float64],
    elapsed: float,
    sums: NDArray[np.float64],
    relative: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Compare a forecast with what is measured: fill the sums and relative errors.

    Steps for each track of the forecast that is among those of now (both by id): of
    every model the error, how likely it was, whether the band held it, and of the way
    what a weighted least-squares fit of its share needs. Weighed with the inverse of
    the error, the fit finds the share of the least mean distance.

    Parameters
    ----------
    sums
        (sum, model, live dead, clearness); added to.
    relative
        (model, track) errors in stated deviations; the first are written.

    Returns
    -------
    (cell,) 1 where it was dead, of the cells that were compared.
    """
    dead = np.empty(made.track_id.size, np.int64)
    count, now = 0, 0
    for row in range(made.track_id.size):
        while now < track_id.size and track_id[now] < made.track_id[row]:
            now += 1
        if now == track_id.size:
            break
        if track_id[now] != made.track_id[row]:
            continue
        kind = dead[count] = int(made.dead[row])
        went_y = centre_um[now, 0] - made.here_um[row, 0]
        went_x = centre_um[now, 1] - made.here_um[row, 1]
        for model in range(sums.shape[1]):
            variance = max(float(made.variance_um2[model, row]), 1e-9)
            off_y = centre_um[now, 0] - made.centre_um[model, row, 0]
            off_x = centre_um[now, 1] - made.centre_um[model, row, 1]
            square = (off_y**2 + off_x**2) / elapsed
            error = math.sqrt(square)
            way_y = float(made.way_um[model, row, 0])
            way_x = float(made.way_um[model, row, 1])
            length = way_y**2 + way_x**2
            clear = 0
            while clear < CLEAR.size and length >= CLEAR[clear] ** 2 * variance:
                clear += 1
            factor = made.factor[model, kind]
            scale = max(factor**2 * variance, 1e-9)
            far = error / math.sqrt(variance)
            weight = 1 / (error + LEAST_ERROR * math.sqrt(variance))
            into = sums[:, model, kind, clear]
            into[ERROR] += error
            into[SQUARE] += square
            into[NLL] += math.log(2 * math.pi * scale) + square / (2 * scale)
            into[COVERED] += far <= BAND_SIGMAS * factor
            into[COUNT] += 1
            went = weight * (way_y * went_y + way_x * went_x)
            expected = weight * length
            into[WENT] += went
            into[EXPECTED] += expected
            into[WENT_2] += went * went
            into[WENT_EXPECTED] += went * expected
            into[EXPECTED_2] += expected * expected
            relative[model, count] = far
        count += 1
    return dead[:count]


class Waiting:
    """The forecasts of one position whose horizon has not come yet."""

    def __init__(self, horizons_s: tuple[float, ...]) -> None:
        self._horizons_s = horizons_s
        self._queues: tuple[deque[Made], ...] = tuple(deque() for _ in horizons_s)

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of forecasts that wait, by horizon."""
        return tuple(len(queue) for queue in self._queues)

    def wants(self, horizon: int, time_s: float) -> bool:
        """Whether a forecast made now would be kept."""
        queue = self._queues[horizon]
        pause_s = self._horizons_s[horizon] / MOST_WAITING
        return not queue or time_s - queue[-1].time_s >= pause_s

    def add(self, horizon: int, made: Made) -> None:
        """Keep a forecast."""
        self._queues[horizon].append(made)

    def settle(
        self,
        time_s: float,
        track_id: NDArray[np.int64],
        centre_um: NDArray[np.float64],
        scores: Scores,
    ) -> None:
        """Compare what is due with where tracks are measured now; ids ascend."""
        for horizon, horizon_s in enumerate(self._horizons_s):
            for made in self._due(horizon, time_s):
                elapsed = (time_s - made.time_s) / horizon_s
                if elapsed <= LATE:
                    scores.learn(horizon, made, track_id, centre_um, elapsed)

    def _due(self, horizon: int, time_s: float) -> Iterator[Made]:
        queue = self._queues[horizon]
        while queue and queue[0].time_s + self._horizons_s[horizon] <= time_s:
            yield queue.popleft()
