"""Where every track will be at the horizons of the settings, and how sure that is.

The bank of walks forecasts all living tracks; dead cells stay. A trained network may
correct the bank (`tracking.forecasts.transformer`): both are scored all along, and the
network serves only while it is the better one in this run. The stated deviations are
those whose 90 % band held 90 % of the earlier cells (`tracking.forecasts.rolling`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import BadModel
from acquisition.records import (
    FORECAST_AFTER_FRAMES,
    Cells,
    CellState,
    Forecast,
    Tracks,
)
from configs.schema import Forecasting
from tracking.forecasts.bank import Bank
from tracking.forecasts.card import load_forecast
from tracking.forecasts.rolling import MOST_TRACKS, Made, Scores, Waiting, clearness
from tracking.forecasts.tokens import History, Tokens, make_tokens, turned_back

STAY, BANK, TRANSFORMER = "stay", "bank", "transformer"
MODELS = (STAY, BANK, TRANSFORMER)

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Expected:
    """What one model says about some tracks."""

    mean_um: Array  # (track, horizon, yx)
    cov_um2: Array  # (track, horizon, yx, yx) of the place
    variance_um2: Array  # (track, horizon) its mean over the axes
    way_um: Array  # (track, horizon, yx) from where it was measured, before trust


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


def served(wanted: str, scores: Scores, *, learned: bool) -> str:
    """Give the model that serves: with ``auto`` the network while it is better in both.

    Better in the mean error and in the likelihood of living cells, of forecasts whose
    horizon has come in this run.
    """
    if not learned or wanted == BANK:
        return BANK
    if wanted == TRANSFORMER:
        return TRANSFORMER
    bank, network = scores.figures(BANK), scores.figures(TRANSFORMER)
    if bank is None or network is None:
        return BANK
    better = all(network[name] < bank[name] for name in ("error_um", "nll"))
    return TRANSFORMER if better else BANK


def forecast_facts(wanted: str, scores: Scores, *, learned: bool) -> dict[str, float]:
    """Give the figures of living cells that are reported, by name.

    ``forecast_transformer`` is 1 while the network serves; the others are those of
    `Scores.figures`, of the bank and, where there is one, of the network.
    """
    serving = served(wanted, scores, learned=learned)
    facts = {"forecast_transformer": float(serving == TRANSFORMER)}
    for model in (BANK, TRANSFORMER) if learned else (BANK,):
        figures = scores.figures(model) or {}
        facts |= {f"forecast_{model}_{name}": v for name, v in figures.items()}
    return facts


Correct = Callable[[Tokens], tuple[Array, Array]]
"""Shifts along and across in deviations, and factors on the variance, of a network."""


def build_corrector(settings: Forecasting) -> tuple[Correct | None, str]:
    """Give the network that the settings ask for, and what a person should know.

    With ``auto`` a network that cannot be loaded is left out, and said.

    Raises
    ------
    BadModel
        If the settings insist on a network that cannot be loaded.
    """
    if settings.model == "bank":
        return None, ""
    try:
        model = load_forecast(settings.weights)
    except BadModel as error:
        if settings.model == "transformer":
            raise
        return None, f"the bank of walks forecasts alone: {error}"
    # Only here torch is wanted; it takes seconds and hundreds of megabytes.
    from tracking.forecasts.transformer import Corrector

    return Corrector(model), ""


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
    correct
        The network, see `build_corrector`; ``None``: the bank alone.
    """

    def __init__(
        self,
        settings: Forecasting,
        localisation_um: float,
        scores: Scores,
        correct: Correct | None = None,
    ) -> None:
        self._model = settings.model
        self._correct = correct
        self._history = History()
        self._horizons_s = np.array(settings.horizons_s)
        self._bank = Bank(localisation_um)
        self._scores = scores
        self._waiting = Waiting(settings.horizons_s)
        self._time_s = -np.inf
        self._ids = np.empty(0, np.int64)
        self._here_um = np.empty((0, 2))  # measured, else the place of the track

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
        self._history.observe(time_s, cells, tracks, seen, centre_um)
        self._ids, self._here_um = tracks.track_id, centre_um

    def look(
        self, tracks: Tracks, horizons_s: Array
    ) -> tuple[Tokens, Array, Array, Array]:
        """Give what the network sees of tracks, and what the bank says of them.

        Returns
        -------
        Tokens; where the tracks are (track, yx), the way that the bank expects from
        there (track, horizon, yx) and its covariance (track, horizon, yx, yx).
        """
        here_um = self._here_um[np.searchsorted(self._ids, tracks.track_id)]
        mean_um, cov_um2 = self._bank.predict(tracks.track_id, horizons_s)
        way_um = mean_um - here_um[:, None]
        tokens = make_tokens(
            self._history.of(tracks.track_id),
            self._bank.noise_um2(tracks.track_id),
            way_um,
            (cov_um2[..., 0, 0] + cov_um2[..., 1, 1]) / 2,
            horizons_s,
        )
        return tokens, here_um, way_um, cov_um2

    @property
    def serving(self) -> str:
        """The model that serves: the network only while it is the better one."""
        return served(self._model, self._scores, learned=self._correct is not None)

    def predict(
        self, tracks: Tracks, horizons_s: tuple[float, ...] | Array
    ) -> tuple[Array, Array]:
        """Forecast tracks of the last frame at any horizons.

        The dead stay. How far the expected ways are trusted, and how wide the
        covariances are, is that of the nearest horizon of the settings.

        Returns
        -------
        Mean (track, horizon, yx) in um, covariance of the place (track, horizon, yx,
        yx) in um2.

        Raises
        ------
        KeyError
            If a track was not among those of the last frame.
        """
        horizons_s = np.asarray(horizons_s, np.float64)
        ratio = np.abs(np.log(horizons_s[:, None] / self._horizons_s))
        told = self._expected(tracks, horizons_s, ratio.argmin(axis=1))
        expected = told.get(self.serving, told[BANK])
        factor = self._scores.factor()[MODELS.index(self.serving), ratio.argmin(axis=1)]
        dead = (tracks.state == CellState.DEAD).astype(np.int64)
        return (
            expected.mean_um,
            expected.cov_um2 * factor[:, dead].T[:, :, None, None] ** 2,
        )

    def forecast(self, tracks: Tracks) -> Forecast:
        """Give the record of this frame, and keep it to be scored.

        ``sigma_um`` is such that the disc of `BAND_SIGMAS` times it holds 90 % of the
        centres that will be measured.
        """
        every = np.arange(self._horizons_s.size)
        told = self._expected(tracks, self._horizons_s, every)
        noise_um2 = self._bank.noise_um2(tracks.track_id)[:, None]
        factor = self._scores.factor()
        dead = (tracks.state == CellState.DEAD).astype(np.int64)
        self._keep(tracks, told, noise_um2, factor)
        serving = self.serving
        expected = told.get(serving, told[BANK])
        scale = factor[MODELS.index(serving)][:, dead].T
        return Forecast(
            track_id=tracks.track_id,
            horizon_s=self._horizons_s,
            centre_um=expected.mean_um,
            sigma_um=np.sqrt(expected.variance_um2 + noise_um2) * scale,
            model=serving,
        )

    def _expected(
        self, tracks: Tracks, horizons_s: Array, like: NDArray[np.intp]
    ) -> dict[str, Expected]:
        """Give what every model says, trusted as at the horizons ``like``."""
        dead = tracks.state == CellState.DEAD
        if self._correct is None:
            here_um = self._here_um[np.searchsorted(self._ids, tracks.track_id)]
            mean_um, cov_um2 = self._bank.predict(tracks.track_id, horizons_s)
            raw = {BANK: (mean_um - here_um[:, None], cov_um2)}
        else:
            tokens, here_um, way_um, cov_um2 = self.look(tracks, horizons_s)
            raw = {BANK: (way_um, cov_um2)}
            if tracks.track_id.size:
                shift, factor = self._correct(tokens)
                sigma_um = np.sqrt((cov_um2[..., 0, 0] + cov_um2[..., 1, 1]) / 2)
                shift_um = turned_back(shift * sigma_um[..., None], tokens.along)
                wider = cov_um2 * factor[..., None, None]
                raw[TRANSFORMER] = (way_um + shift_um, wider)
        trust = self._scores.trust()[:, like, 0]  # (model, horizon, clearness)
        noise_um2 = self._bank.noise_um2(tracks.track_id)[:, None]
        told = {}
        for model, (way_um, cov_um2) in raw.items():
            way_um[dead] = 0.0
            variance_um2 = (cov_um2[..., 0, 0] + cov_um2[..., 1, 1]) / 2
            clear = clearness(way_um, variance_um2 + noise_um2)
            share = trust[MODELS.index(model), np.arange(like.size), clear]
            centre_um = here_um[:, None] + share[..., None] * way_um
            told[model] = Expected(centre_um, cov_um2, variance_um2, way_um)
        return told

    def _keep(
        self,
        tracks: Tracks,
        told: dict[str, Expected],
        noise_um2: Array,
        factor: Array,
    ) -> None:
        row = np.flatnonzero(tracks.age_frames >= FORECAST_AFTER_FRAMES)
        row = row[:: 1 + row.size // MOST_TRACKS]
        here_um = self._here_um[np.searchsorted(self._ids, tracks.track_id[row])]
        wanted = [
            horizon
            for horizon in range(self._horizons_s.size)
            if self._waiting.wants(horizon, self._time_s)
        ]
        # Staying is stated with the deviations of the bank: only its errors count.
        models = [told.get(model, told[BANK]) for model in MODELS]
        variances = [one.variance_um2[row] for one in models]
        for horizon in wanted:
            mean_um = [one.mean_um[row, horizon] for one in models]
            way_um = [one.way_um[row, horizon] for one in models]
            mean_um[0], way_um[0] = here_um, np.zeros_like(here_um)
            variance = [one[:, horizon] for one in variances]
            made = Made(
                time_s=self._time_s,
                track_id=tracks.track_id[row],
                dead=tracks.state[row] == CellState.DEAD,
                here_um=here_um.astype(np.float32),
                way_um=np.array(way_um, np.float32),
                centre_um=np.array(mean_um, np.float32),
                variance_um2=np.array(variance, np.float32) + noise_um2[row, 0],
                factor=factor[:, horizon],
            )
            self._waiting.add(horizon, made)
