"""The last frames of all tracks of a position, smoothed at a fixed lag.

What is said about a frame becomes final when the lag has passed: its place takes the
later frames into account, and its link to the next frame has been looked at from both
sides. A link is doubtful if two cells, followed backwards, would rather have been each
other.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from tracking.revisions.roughness import Roughness
from tracking.revisions.smoothing import (
    DETECTED,
    FILLED,
    Places,
    differences,
    eliminate,
    fill_gaps,
    smooth,
)

SURE = 9.0
"""Followed backwards, the exchange must be better by so many variances of a centre."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """All tracks in one frame, by id."""

    sequence: int
    time_s: float
    track_id: NDArray[np.int64]  # (track,) ascending
    centre_um: NDArray[np.float64]  # (track, yx) as measured; anything where not seen
    seen: NDArray[np.bool_]  # (track,) the cell has an outline of its own


@dataclass(frozen=True, slots=True)
class Final:
    """What became final: one frame, and the tracks that lived from it until now."""

    sequence: int
    time_s: float
    track_id: NDArray[np.int64]  # (track,)
    centre_um: NDArray[np.float64]  # (track, yx) smoothed
    filled: NDArray[np.bool_]  # (track,) it was not seen in that frame
    doubtful: NDArray[np.bool_]  # (track,) its link to the next frame


class Window:
    """A fixed-lag smoother.

    Parameters
    ----------
    lag_frames
        Frames after which a place is final.
    lam
        Weight of the smoothness, see `tracking.revisions.smoothing`; ``None``: as the
        noise of the centres asks for, see `tracking.revisions.roughness`.
    noise_um
        Standard deviation of a measured centre on each axis.
    """

    def __init__(self, lag_frames: int, lam: float | None, noise_um: float) -> None:
        self._length = lag_frames + 1
        self._lam = lam
        self._roughness = Roughness()
        self._noise_um2 = noise_um**2
        self._ids = np.empty(0, np.int64)
        self._places: Places = np.empty((0, 0, 2))
        self._seen = np.empty((0, 0), np.bool_)
        self._begin = np.empty(0, np.int64)
        self._prior = np.empty((0, 7))
        self._sequence: list[int] = []
        self._time_s: list[float] = []

    @property
    def smoothness(self) -> float:
        """Weight of the smoothness as it is now."""
        return self._roughness.smoothness if self._lam is None else self._lam

    @property
    def is_assumed(self) -> bool:
        """Whether that weight was to be learnt, and is not yet."""
        return self._lam is None and not self._roughness.is_known

    @property
    def begins(self) -> int:
        """The oldest frame in the window, 0 before there is one."""
        return self._sequence[0] if self._sequence else 0

    def push(self, sighting: Sighting) -> Final | None:
        """Take one frame, later than the last; give what became final with it."""
        self._append(sighting)
        lam = self.smoothness
        terms = differences(np.array(self._time_s))
        if len(self._time_s) > self._length:
            weight = np.where(self._seen[:, 0], DETECTED, FILLED)
            oldest = np.ascontiguousarray(self._places[:, 0])
            eliminate(oldest, weight, self._begin, terms[0], lam, self._prior)
            self._places = np.ascontiguousarray(self._places[:, 1:])
            self._seen = np.ascontiguousarray(self._seen[:, 1:])
            self._begin = np.maximum(self._begin - 1, 0)
            self._sequence.pop(0)
            self._time_s.pop(0)
            terms = terms[1:]
        if len(self._time_s) < self._length:
            return None
        weight = np.where(self._seen, DETECTED, FILLED)
        smoothed = smooth(self._places, weight, self._begin, terms, lam, self._prior)
        return self._final(smoothed)

    def _append(self, sighting: Sighting) -> None:
        """Keep the tracks that are alive, and add the frame to them."""
        ids, frames = sighting.track_id, len(self._time_s)
        at = np.searchsorted(self._ids, ids)
        known = at < self._ids.size
        known[known] = self._ids[at[known]] == ids[known]
        was = at[known]
        rows = np.where(known, at, -1)
        self._roughness.learn(sighting.time_s, rows, sighting.centre_um, sighting.seen)
        places = np.zeros((ids.size, frames + 1, 2))
        seen = np.zeros((ids.size, frames + 1), np.bool_)
        begin = np.full(ids.size, frames)
        prior = np.zeros((ids.size, 7))
        places[known, :-1] = self._places[was]
        seen[known, :-1] = self._seen[was]
        begin[known], prior[known] = self._begin[was], self._prior[was]
        places[:, -1], seen[:, -1] = sighting.centre_um, sighting.seen
        # The oldest place was settled by what has left the window: it stays as it is.
        anchors = seen.copy()
        if frames:
            anchors[known, 0] |= self._begin[was] == 0
        fill_gaps(places, anchors)
        self._ids, self._places, self._seen = ids, places, seen
        self._begin, self._prior = begin, prior
        self._sequence.append(sighting.sequence)
        self._time_s.append(sighting.time_s)

    def _final(self, smoothed: Places) -> Final:
        there = self._begin == 0
        doubtful = np.zeros(self._ids.size, np.bool_)
        if self._length > 2:
            time_s = self._time_s
            ratio = (time_s[1] - time_s[0]) / (time_s[2] - time_s[1])
            backwards = smoothed[:, 1] + ratio * (smoothed[:, 1] - smoothed[:, 2])
            rows = np.flatnonzero(there & self._seen[:, 0] & self._seen[:, 1])
            rows = rows[np.argsort(self._places[rows, 0, 0], kind="stable")]
            margin_um2 = SURE * self._noise_um2
            oldest = np.ascontiguousarray(self._places[:, 0])
            doubtful = find_doubts(backwards, oldest, rows, margin_um2)
        return Final(
            sequence=self._sequence[0],
            time_s=self._time_s[0],
            track_id=self._ids[there],
            centre_um=smoothed[there, 0],
            filled=~self._seen[there, 0],
            doubtful=doubtful[there],
        )


@njit(nogil=True, cache=True)
def find_doubts(expected_um, measured_um, rows, margin_um2):  # type: ignore[no-untyped-def]
    """Mark the tracks that, followed backwards, would rather be one another.

    ``expected_um`` and ``measured_um`` are (track, yx), ``rows`` those that were seen,
    by the measured y. Steps for each track that misses its own centre: the centres that
    are nearer to what was expected, found by y; is the exchange cheaper by the margin?
    """
    doubtful = np.zeros(len(expected_um), np.bool_)
    height = measured_um[rows, 0].copy()
    for row in rows:
        y, x = expected_um[row, 0], expected_um[row, 1]
        own = (y - measured_um[row, 0]) ** 2 + (x - measured_um[row, 1]) ** 2
        reach = np.sqrt(own)
        if 2 * own <= margin_um2:
            continue
        for at in range(np.searchsorted(height, y - reach), len(rows)):
            if height[at] > y + reach:
                break
            rival = rows[at]
            theirs = (y - measured_um[rival, 0]) ** 2
            theirs += (x - measured_um[rival, 1]) ** 2
            if rival == row or theirs >= own:
                continue
            there_y, there_x = expected_um[rival, 0], expected_um[rival, 1]
            before = own + (there_y - measured_um[rival, 0]) ** 2
            before += (there_x - measured_um[rival, 1]) ** 2
            after = theirs + (there_y - measured_um[row, 0]) ** 2
            after += (there_x - measured_um[row, 1]) ** 2
            if after + margin_um2 < before:
                doubtful[row] = doubtful[rival] = True
    return doubtful
