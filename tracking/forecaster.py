"""Where every track will be at the horizons of the settings, and how sure that is.

The bank of walks forecasts all living tracks; dead cells stay. A trained network may
correct the bank (`tracking.transformer`): both are scored all along, and the network
serves only while it is the better one in this run. The stated deviations are those
whose 90 % band held 90 % of the earlier cells (`tracking.rolling`).
"""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.records import (
    FORECAST_AFTER_FRAMES,
    Cells,
    CellState,
    Forecast,
    Tracks,
)
from configs.schema import Forecasting
from tracking.bank import Bank
from tracking.rolling import MOST_TRACKS, Made, Scores, Waiting

STAY, BANK = "stay", "bank"
MODELS = (STAY, BANK)

Array = NDArray[np.float64]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Expected:
    """What one model says about some tracks."""

    mean_um: Array  # (track, horizon, yx)
    cov_um2: Array  # (track, horizon, yx, yx) of the place

    @property
    def variance_um2(self) -> Array:
        """Mean variance of an axis (track, horizon)."""
        return (self.cov_um2[..., 0, 0] + self.cov_um2[..., 1, 1]) / 2


def measured_centres(
    cells: Cells, tracks: Tracks
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Give which tracks were measured in this frame, and where.

    A track that rides on the blob of another, or shares its label, was not. Centres
    (track, yx) of those that were not are the places of the tracks.
    """
    _, back, times = np.unique(tracks.label, return_inverse=True, return_counts=True)
    seen = (tracks.label > 0) & (times[back] == 1) & (tracks.merged_with == 0)
    order = np.argsort(cells.label)
    if not cells.label.size:
        return np.zeros_like(seen), tracks.centre_um
    place = np.searchsorted(cells.label[order], tracks.label)
    row = order[np.minimum(place, cells.label.size - 1)]
    seen &= cells.label[row] == tracks.label
    centre_um = np.where(seen[:, None], cells.centre_um[row], tracks.centre_um)
    seen &= np.isfinite(centre_um).all(axis=1)
    return seen, np.where(seen[:, None], centre_um, tracks.centre_um)


class Forecaster:
    """Forecasts of the tracks of one stage position.

    Call `observe` with every frame, then `predict` as often as wanted, and `forecast`
    once the states of the tracks are known.

    Parameters
    ----------
    settings
        The section ``[forecast]``.
    localisation_um
        Standard deviation of a measured centre, to begin with.
    scores
        Shared by all positions of a run.
    """

    def __init__(
        self, settings: Forecasting, localisation_um: float, scores: Scores
    ) -> None:
        self._horizons_s = np.array(settings.horizons_s)
        self._bank = Bank(localisation_um)
        self._scores = scores
        self._waiting = Waiting(settings.horizons_s)
        self._time_s = -np.inf

    @property
    def waiting(self) -> tuple[int, ...]:
        """Number of forecasts that wait to be scored, by horizon."""
        return self._waiting.counts

    def observe(self, time_s: float, cells: Cells, tracks: Tracks) -> None:
        """Take in one frame, and score the forecasts that it settles.

        A frame that is not later than the last one only adds and ends tracks.
        """
        seen, centre_um = measured_centres(cells, tracks)
        live = tracks.state != CellState.DEAD
        if time_s > self._time_s:
            self._waiting.settle(
                time_s, tracks.track_id[seen], centre_um[seen], self._scores
            )
            self._time_s = time_s
        self._bank.observe(time_s, tracks.track_id, centre_um, seen, live)

    def predict(
        self, tracks: Tracks, horizons_s: tuple[float, ...] | Array
    ) -> tuple[Array, Array]:
        """Forecast the tracks of the last frame at any horizons.

        The dead stay. Covariances are those of the bands: scaled at each horizon as
        the nearest horizon of the settings needs it.

        Returns
        -------
        Mean (track, horizon, yx) in um, covariance (track, horizon, yx, yx) in um2.

        Raises
        ------
        KeyError
            If a track was not among those of the last frame.
        """
        horizons_s = np.asarray(horizons_s, np.float64)
        expected = self._expected(tracks, horizons_s)
        ratio = np.abs(np.log(horizons_s[:, None] / self._horizons_s))
        factor = self._scores.factor()[MODELS.index(BANK), ratio.argmin(axis=1)]
        dead = (tracks.state == CellState.DEAD).astype(np.int64)
        scale = factor[:, dead].T[:, :, None, None] ** 2
        return expected.mean_um, expected.cov_um2 * scale

    def forecast(self, tracks: Tracks) -> Forecast:
        """Give the record of this frame, and keep it to be scored.

        ``sigma_um`` is such that the disc of `BAND_SIGMAS` times it holds 90 % of the
        centres that will be measured.
        """
        expected = self._expected(tracks, self._horizons_s)
        noise_um2 = self._bank.noise_um2(tracks.track_id)
        variance = expected.variance_um2 + noise_um2[:, None]
        factor = self._scores.factor()
        dead = (tracks.state == CellState.DEAD).astype(np.int64)
        self._keep(tracks, expected.mean_um, variance, factor)
        return Forecast(
            track_id=tracks.track_id,
            horizon_s=self._horizons_s,
            centre_um=expected.mean_um,
            sigma_um=np.sqrt(variance) * factor[1][:, dead].T,
            model=BANK,
        )

    def _expected(self, tracks: Tracks, horizons_s: Array) -> Expected:
        mean_um, cov_um2 = self._bank.predict(tracks.track_id, horizons_s)
        dead = tracks.state == CellState.DEAD
        mean_um[dead] = tracks.centre_um[dead, None]
        return Expected(mean_um, cov_um2)

    def _keep(
        self, tracks: Tracks, mean_um: Array, variance_um2: Array, factor: Array
    ) -> None:
        told = np.flatnonzero(tracks.age_frames >= FORECAST_AFTER_FRAMES)
        told = told[:: 1 + told.size // MOST_TRACKS]
        for horizon in range(self._horizons_s.size):
            if not self._waiting.wants(horizon, self._time_s):
                continue
            made = Made(
                self._time_s,
                tracks.track_id[told],
                tracks.state[told] == CellState.DEAD,
                np.stack((tracks.centre_um[told], mean_um[told, horizon])),
                np.stack((variance_um2[told, horizon],) * 2),
                factor[:, horizon],
            )
            self._waiting.add(horizon, made)
