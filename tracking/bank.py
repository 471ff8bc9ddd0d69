"""Where every track will be: stay put, or go on with the present velocity.

The error of the forecasts is not assumed but measured: each forecast is kept until its
horizon has come, and the errors then found, for live and dead cells apart, give the
standard deviation of the next ones. Until enough were found the walk of the settings
stands in. Dead cells are expected to stay.
"""

from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from acquisition.records import CellState, Forecast, Tracks
from configs.schema import Tracking
from tracking.motion import motion_of

ENOUGH = 30.0
"""Errors that must have been seen before they replace the assumed walk."""
MEMORY = 5000.0
"""About so many of the latest errors count."""
MOST_WAITING = 200
"""Forecasts that wait for a horizon, about; of faster frames not all are kept."""
LATE = 1.5
"""A frame later than this many horizons says nothing about that horizon."""


def forecast(tracks: Tracks, settings: Tracking) -> Forecast:
    """Forecast every track; the deviation is that of the assumed walk.

    Returns
    -------
    Centres (track, horizon, yx) and deviations of an axis (track, horizon) in um.
    """
    horizon_s = np.array(settings.forecast_horizons_s, np.float64)
    moving = (tracks.state != CellState.DEAD) & (settings.forecast != "stay")
    velocity = np.where(moving[:, None], tracks.velocity_um_per_s, 0.0)
    path_um = velocity[:, None, :] * horizon_s[None, :, None]
    variance_um2 = motion_of(settings).spread_um2(horizon_s)
    sigma_um = np.sqrt(variance_um2 + settings.localisation_um**2)
    return Forecast(
        track_id=tracks.track_id,
        horizon_s=horizon_s,
        centre_um=tracks.centre_um[:, None, :] + path_um,
        sigma_um=np.tile(sigma_um, (tracks.track_id.size, 1)),
        model=settings.forecast,
    )


class Bank:
    """Forecasts with deviations learnt from earlier forecasts of the same run."""

    def __init__(self, settings: Tracking) -> None:
        self._settings = settings
        horizons = len(settings.forecast_horizons_s)
        self._waiting: tuple[deque[tuple[float, Forecast]], ...] = tuple(
            deque() for _ in range(horizons)
        )
        self._squares_um2 = np.zeros((horizons, 2))  # (horizon, live dead)
        self._counts = np.zeros((horizons, 2))

    @property
    def waiting(self) -> tuple[int, ...]:
        """Number of forecasts that wait, by horizon."""
        return tuple(len(queue) for queue in self._waiting)

    def update(self, time_s: float, tracks: Tracks) -> Forecast:
        """Score the forecasts that are due by these tracks, then make new ones."""
        for index, horizon_s in enumerate(self._settings.forecast_horizons_s):
            for made_s, old in self._due(index, time_s, horizon_s):
                elapsed = (time_s - made_s) / horizon_s
                if elapsed <= LATE:
                    self._learn(index, old, elapsed, tracks)
        made = forecast(tracks, self._settings)
        for queue, horizon_s in zip(
            self._waiting, self._settings.forecast_horizons_s, strict=True
        ):
            pause_s = horizon_s / MOST_WAITING
            if not queue or time_s - queue[-1][0] >= pause_s:
                queue.append((time_s, made))
        return self._with_measured_sigma(made, tracks)

    def _due(
        self, index: int, time_s: float, horizon_s: float
    ) -> Iterable[tuple[float, Forecast]]:
        queue = self._waiting[index]
        while queue and queue[0][0] + horizon_s <= time_s:
            yield queue.popleft()

    def _learn(self, index: int, old: Forecast, elapsed: float, tracks: Tracks) -> None:
        _, before, now = np.intersect1d(
            old.track_id, tracks.track_id, assume_unique=True, return_indices=True
        )
        seen = tracks.label[now] > 0
        error_um = tracks.centre_um[now[seen]] - old.centre_um[before[seen], index]
        # A frame that came late saw a longer way: scale as diffusion does.
        square_um2 = (error_um**2).mean(axis=1) / elapsed
        column = (tracks.state[now[seen]] == CellState.DEAD).astype(np.int64)
        fade = np.exp(-np.bincount(column, minlength=2) / MEMORY)
        self._squares_um2[index] *= fade
        self._counts[index] *= fade
        self._squares_um2[index] += np.bincount(column, square_um2, minlength=2)
        self._counts[index] += np.bincount(column, minlength=2)

    def _with_measured_sigma(self, made: Forecast, tracks: Tracks) -> Forecast:
        known = self._counts >= ENOUGH
        mean_um2 = self._squares_um2 / np.maximum(self._counts, 1.0)
        column = (tracks.state == CellState.DEAD).astype(np.int64)
        measured: NDArray[np.float64] = np.sqrt(mean_um2.T[column])
        return Forecast(
            track_id=made.track_id,
            horizon_s=made.horizon_s,
            centre_um=made.centre_um,
            sigma_um=np.where(known.T[column], measured, made.sigma_um),
            model=made.model,
        )
