"""How good the forecasts of this run have been, and how wide their bands must be.

Every forecast is kept until its horizon has come and is then compared with where the
cell was measured. From the errors come the figures of every model, live and dead cells
apart, and the factor that makes a band hold 90 % of the cells: the conformal quantile
of the errors relative to the stated deviations (Vovk et al. 2005; rolling, as cells and
doses change).
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
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
STILL_CELLS = 10.0
"""Cells are held to stay as if so many had stayed: a way must earn its trust."""
MOST_TRUST = 1.5
LEAST_ERROR = 0.1
"""Errors below this many deviations weigh alike in the trust."""
ERROR, SQUARE, NLL, COVERED, COUNT = range(5)


@dataclass(frozen=True, slots=True)
class Made:
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
        self._sums = np.zeros((5, *shape))
        self._recent = np.empty((*shape, RECENT), np.float32)
        self._filled = np.zeros(shape[1:], np.int64)
        self._factor = np.ones(shape)
        self._ways = np.zeros((3, *shape))  # went x expected, expected^2, count
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
        """Give the share of the ways to believe: (model, horizon, live dead)."""
        went, expected, count = self._ways
        assumed = STILL_CELLS * expected / np.maximum(count, 1.0)
        trust = went / np.maximum(expected + assumed, 1e-12)
        trust = np.clip(trust, 0.0, MOST_TRUST)
        for horizon in range(1, trust.shape[1]):
            few = count[:, horizon] < ENOUGH
            trust[:, horizon][few] = trust[:, horizon - 1][few]
        return trust

    def figures(self, model: str, kind: int = 0) -> dict[str, float] | None:
        """Give error (um), skill over staying, NLL and coverage of live (0) cells.

        Means over the horizons of which enough is known; ``None``: of none is.
        """
        sums = self._sums[:, self.models.index(model), :, kind]
        still = self._sums[SQUARE, self.models.index("stay"), :, kind]
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
        rows: NDArray[np.int64],
        now_um: NDArray[np.float64],
        elapsed: float,
    ) -> None:
        """Take in where the cells of some rows of a forecast (row, yx) came to be.

        ``elapsed`` is in horizons. A frame that came late saw a longer way: the squared
        error is scaled as diffusion does.
        """
        error_um = made.centre_um[:, rows] - now_um
        away_um2 = (error_um**2).sum(axis=2) / elapsed
        way_um = made.way_um[:, rows].astype(np.float64)
        went = (way_um * (now_um - made.here_um[rows])).sum(axis=2)
        # Weighed so, least squares find the share of the least mean distance.
        weight = 1 / (
            np.sqrt(away_um2) + LEAST_ERROR * np.sqrt(made.variance_um2[:, rows])
        )
        ways = np.stack(
            (weight * went, weight * (way_um**2).sum(axis=2), np.ones_like(went))
        )
        dead = made.dead[rows].astype(np.int64)
        variance = np.maximum(made.variance_um2[:, rows], 1e-9).astype(np.float64)
        relative = np.sqrt(away_um2 / variance)
        band = BAND_SIGMAS * made.factor[:, dead]
        scale = np.maximum(made.factor[:, dead] ** 2 * variance, 1e-9)
        figures = np.stack(
            (
                np.sqrt(away_um2),
                away_um2,
                np.log(2 * np.pi * scale) + away_um2 / (2 * scale),
                relative <= band,
                np.ones_like(away_um2),
            )
        )
        of_kind = np.stack((dead == 0, dead == 1), axis=1).astype(np.float64)
        counts = of_kind.sum(axis=0)
        left = np.exp(-counts / MEMORY)
        for kept, new in ((self._sums, figures), (self._ways, ways)):
            kept[:, :, horizon] *= left
            kept[:, :, horizon] += new @ of_kind
        for kind in np.flatnonzero(counts).tolist():
            start = int(self._filled[horizon, kind])
            at = (start + np.arange(int(counts[kind]))) % RECENT
            self._recent[:, horizon, kind, at] = relative[:, dead == kind]
            self._filled[horizon, kind] += int(counts[kind])
            self._stale[horizon, kind] = True


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
                _, before, now = np.intersect1d(
                    made.track_id, track_id, assume_unique=True, return_indices=True
                )
                if elapsed > LATE or not before.size:
                    continue
                scores.learn(horizon, made, before, centre_um[now], elapsed)

    def _due(self, horizon: int, time_s: float) -> Iterator[Made]:
        queue = self._queues[horizon]
        while queue and queue[0].time_s + self._horizons_s[horizon] <= time_s:
            yield queue.popleft()
