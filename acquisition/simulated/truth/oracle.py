"""The oracle: the best forecast that anyone could make of a simulated specimen.

It knows the full state of every cell now and the laws that it lives by, but not what
chance will bring. No honest forecast of places or deaths is better; one that is has
seen the future. Cells that push, hold back or meet a wall are beyond the closed form of
the displacement, which is exact for a cell by itself.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.simulated.specimen.dish import Specimen
from acquisition.simulated.specimen.motion import TREMBLE_MIN, mobility, persistence_min
from acquisition.simulated.specimen.population import IS_DEAD
from acquisition.simulated.truth.file import TruthReader
from acquisition.simulated.truth.foresight import HORIZONS_S

ORACLE_STREAM = 21
DEATH_HORIZONS_S = (1800.0, 3600.0, 7200.0)


@dataclass(frozen=True, slots=True)
class DisplacementForecast:
    """How far cells will move, given their present velocity, trembling and mobility."""

    id: NDArray[np.int64]  # (cell,)
    horizons_s: tuple[float, ...]
    mean_um: NDArray[np.float64]  # (cell, horizon, yx)
    variance_um2: NDArray[np.float64]  # (cell, horizon) an axis


@dataclass(frozen=True, slots=True)
class DeathForecast:
    """How likely cells are to have died, given everything about them now."""

    id: NDArray[np.int64]  # (cell,)
    horizons_s: tuple[float, ...]
    probability: NDArray[np.float64]  # (cell, horizon) membrane open by then
    draws: int


class Oracle:
    """Answers for the frames of a run, from the world and the seed in its truth.

    Frames are best asked for in their order: going back begins the run again.

    Parameters
    ----------
    truth
        Of the run; stays open elsewhere.
    """

    def __init__(self, truth: TruthReader) -> None:
        self._truth = truth
        self._world = truth.world
        self._specimen: Specimen | None = None

    def specimen(self, sequence: int) -> Specimen:
        """Give a copy of the specimen as it was in a frame.

        Raises
        ------
        BadRun
            If the truth holds no such frame.
        """
        at_s = self._truth.frame(sequence).specimen_s
        specimen = self._specimen
        if specimen is None or specimen.time_s > at_s:
            truth = self._truth
            specimen = Specimen.under_stand(self._world, truth.seed, truth.size_px)
        doses = self._truth.unplanned_doses(sequence)
        for time_s, gy in doses[len(specimen.given) :]:
            specimen.advance_to(time_s)
            specimen.irradiate(gy)
        specimen.advance_to(at_s)
        self._specimen = specimen
        return copy.deepcopy(specimen)

    def displacement(
        self, sequence: int, horizons_s: Sequence[float] = HORIZONS_S
    ) -> DisplacementForecast:
        """Forecast the displacement of the cells in view, ordered by id."""
        forecast = forecast_displacement(self.specimen(sequence), horizons_s)
        rows = np.searchsorted(forecast.id, self._truth.frame(sequence).id)
        return DisplacementForecast(
            id=forecast.id[rows],
            horizons_s=forecast.horizons_s,
            mean_um=forecast.mean_um[rows],
            variance_um2=forecast.variance_um2[rows],
        )

    def deaths(
        self,
        sequence: int,
        horizons_s: Sequence[float] = DEATH_HORIZONS_S,
        draws: int = 200,
        seed: int = 0,
    ) -> DeathForecast:
        """Forecast the deaths of the cells in view, ordered by id."""
        forecast = forecast_deaths(self.specimen(sequence), horizons_s, draws, seed)
        rows = np.searchsorted(forecast.id, self._truth.frame(sequence).id)
        return DeathForecast(
            id=forecast.id[rows],
            horizons_s=forecast.horizons_s,
            probability=forecast.probability[rows],
            draws=draws,
        )


def forecast_displacement(
    specimen: Specimen, horizons_s: Sequence[float] = HORIZONS_S
) -> DisplacementForecast:
    """Forecast the displacement of all cells, exactly for a cell by itself.

    With velocity ``v0``, mobility ``m``, persistence ``P``, variance of the velocity an
    axis ``s^2`` and ``k = exp(-t / P)``: mean ``m v0 P (1 - k)``, variance
    ``m^2 s^2 P^2 (2 t / P - 3 + 4 k - k^2)``. The trembling adds ``j0 (q - 1)`` to the
    mean and ``j^2 (1 - q^2)`` to the variance, ``q = exp(-t / tremble)``; between two
    lattice times it is interpolated, which takes up to 14 % of its variance.
    """
    cells = specimen.cells
    minutes = np.asarray(horizons_s) / 60
    persistence = persistence_min(cells)[:, None]
    ratio = minutes / persistence  # (cell, horizon)
    keep = np.exp(-ratio)
    moves = mobility(cells)[:, None]
    path = (moves * persistence * (1 - keep))[:, :, None]
    mean = path * cells["velocity_um_per_min"][:, None]
    still = np.exp(-minutes / TREMBLE_MIN)
    mean += (still - 1)[:, None] * cells["jitter_um"][:, None]
    spread = moves * persistence * cells["speed_um_per_min"][:, None] / math.sqrt(2)
    variance = spread**2 * np.maximum(2 * ratio - 3 + 4 * keep - keep**2, 0)
    variance += specimen.world.cells.jitter_um**2 * (1 - still**2)
    ids = cells["id"].astype(np.int64)
    return DisplacementForecast(ids, tuple(horizons_s), mean, variance)


def forecast_deaths(
    specimen: Specimen, horizons_s: Sequence[float], draws: int = 200, seed: int = 0
) -> DeathForecast:
    """Forecast the deaths of all cells by living on, again and again.

    Parameters
    ----------
    specimen
        Is copied and left alone.
    horizons_s
        Seconds from now, in any order.
    draws
        Number of futures; the error of a probability p is sqrt(p (1 - p) / draws).
    seed
        Fixes the futures. They share nothing with that of the specimen.

    Returns
    -------
    The share of futures in which each id is dead. An id that ends in a division is not.
    """
    ids = specimen.ids().astype(np.int64)
    dead = np.zeros((len(ids), len(horizons_s)))
    for draw in range(draws):
        future = copy.deepcopy(specimen)
        future.diverge([seed, ORACLE_STREAM, draw])
        for column in np.argsort(horizons_s):
            future.advance_to(specimen.time_s + horizons_s[column])
            cells = future.cells
            gone = cells["id"][IS_DEAD[cells["state"]]]
            dead[:, column] += np.isin(ids, gone)
    return DeathForecast(ids, tuple(horizons_s), dead / max(draws, 1), draws)
