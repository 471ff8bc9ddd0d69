"""Bounded memory of a run that may last for days: curves, tails, intervals."""

import numpy as np
from numpy.typing import NDArray

from acquisition.records import Tracks


class History:
    """Rows of numbers over the whole run in bounded memory.

    When the table is full, neighbouring rows are averaged, and from then on each new
    row is the mean of twice as many samples: the curve keeps its whole length and
    loses only resolution.
    """

    def __init__(self, columns: int, capacity: int = 1024) -> None:
        self._table = np.empty((capacity + capacity % 2, columns))
        self._rows = 0
        self._each = 1
        self._sum = np.zeros(columns)
        self._summed = 0

    def append(self, *values: float) -> None:
        """Add one sample, one value a column."""
        self._sum += values
        self._summed += 1
        if self._summed < self._each:
            return
        if self._rows == len(self._table):
            self._halve()
            return
        self._table[self._rows] = self._sum / self._summed
        self._rows += 1
        self._sum[:] = 0.0
        self._summed = 0

    def _halve(self) -> None:
        """Average pairs of rows; the sample in hand waits for its partner."""
        self._rows //= 2
        self._table[: self._rows] = self._table.reshape(self._rows, 2, -1).mean(axis=1)
        self._each *= 2

    def table(self) -> NDArray[np.float64]:
        """Give a copy ``(row, column)``, oldest first."""
        return self._table[: self._rows].copy()


class Tails:
    """The last centres of every living track."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._ids = np.empty(0, np.int64)
        self._points = np.empty((length, 0, 2))

    def extend(self, tracks: Tracks) -> None:
        """Add the centres of a frame; a track that is not seen leaves a gap."""
        points = np.full((self._length, tracks.track_id.size, 2), np.nan)
        if self._length:
            _, old, new = np.intersect1d(
                self._ids, tracks.track_id, assume_unique=True, return_indices=True
            )
            points[1:, new] = self._points[:-1, old]
            seen = tracks.label > 0
            points[0, seen] = tracks.centre_um[seen]
        self._ids, self._points = tracks.track_id, points

    def curve(self, rows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Give the tails of the chosen tracks ``(point, yx)``, NaN in between, um."""
        chosen = self._points[:, rows].transpose(1, 0, 2)  # (track, age, yx)
        gap = np.full((chosen.shape[0], 1, 2), np.nan)
        return np.concatenate((chosen, gap), axis=1).reshape(-1, 2)


def wilson_interval(
    hits: NDArray[np.float64], trials: NDArray[np.float64], z: float = 1.96
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the score interval of a proportion (Wilson 1927, eq. 3); NaN at no trials.

    Unlike the normal interval it stays inside 0 to 1 and has a width at 0 and 1.
    """
    count = np.where(trials > 0, trials, np.nan)
    share = hits / count
    scale = 1 + z**2 / count
    middle = (share + z**2 / (2 * count)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return middle - half, middle + half
