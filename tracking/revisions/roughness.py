"""How smooth courses are to be made: as smooth as the noise of the centres asks for.

The weight lam of `tracking.revisions.smoothing` is the variance of a measured centre
over that of the true second differences. Both show in the second differences d of the
measured centres, with the terms (a, b, c) of their steps: noise of variance s^2 gives
(a^2 + b^2 + c^2) s^2 to the mean of d_t^2 (6 s^2 at equal steps), and
c_t a_(t+2) s^2 to that of d_t d_(t+2) (s^2 at equal steps), to which neither steps that
know nothing of each other nor, but a little, persistent ones give anything.
"""

import numpy as np
from numpy.typing import NDArray

from tracking.revisions.smoothing import Places, differences

SEEN = 5
"""Frames in a row that a track must be seen in to be learnt from."""
ASSUMED = 1.0
ENOUGH = 200
"""Products that must have been seen before they say anything."""
MEMORY = 20_000.0
"""About so many of the newest products count."""
MOST = 100.0
EVEN = 2.0
"""Nothing is learnt where the longest step is more than so many times the shortest."""


class Roughness:
    """Learns from all courses of a position, whatever the lag of their smoother."""

    def __init__(self) -> None:
        self._time_s = np.full(SEEN, np.nan)
        self._places: Places = np.zeros((0, SEEN, 2))
        self._seen = np.zeros((0, SEEN), np.bool_)
        # d_t^2 and d_t d_(t+2), what noise of 1 would give to each, and their number
        self._sums = np.zeros(5)

    @property
    def is_known(self) -> bool:
        """Whether enough was seen; else `ASSUMED` holds."""
        return bool(self._sums[-1] >= ENOUGH)

    @property
    def smoothness(self) -> float:
        """The weight lam, `ASSUMED` until enough is known."""
        if not self.is_known:
            return ASSUMED
        square_um2, apart_um2, of_square, of_apart, count = self._sums.tolist()
        noise_um2 = max(apart_um2 / of_apart, 0.0)
        bent_um2 = (square_um2 - of_square * noise_um2) / count
        least_um2 = max(noise_um2 / MOST, 1e-12)
        return float(noise_um2 / max(bent_um2, least_um2))

    def learn(
        self,
        time_s: float,
        was: NDArray[np.int64],
        centre_um: NDArray[np.float64],
        seen: NDArray[np.bool_],
    ) -> None:
        """Take in the newest frame, with the four before it.

        Parameters
        ----------
        time_s
            Of the frame.
        was
            (track,) row of each track in the frame before, -1 of those that are new.
        centre_um, seen
            (track, yx) as measured, anything where not seen, and (track,).
        """
        self._keep(time_s, was, centre_um, seen)
        steps = np.diff(self._time_s)
        if not (steps.max() <= EVEN * steps.min()):  # also where too few were seen
            return
        terms = differences(self._time_s)  # (3, abc)
        whole = self._places[self._seen.all(axis=1)]
        first = np.einsum("a,tay->ty", terms[0], whole[:, :3])
        last = np.einsum("a,tay->ty", terms[2], whole[:, 2:])
        left = float(np.exp(-first.size / MEMORY))
        count, noise = first.size, (terms[2] ** 2).sum()
        more = [(last**2).sum(), (first * last).sum()]
        more += [count * noise, count * terms[0, 2] * terms[2, 0], count]
        self._sums = left * self._sums + np.array(more)

    def _keep(
        self,
        time_s: float,
        was: NDArray[np.int64],
        centre_um: NDArray[np.float64],
        seen: NDArray[np.bool_],
    ) -> None:
        """Keep the last sightings of the tracks that are alive."""
        known = was >= 0
        places = np.zeros((was.size, SEEN, 2))
        often = np.zeros((was.size, SEEN), np.bool_)
        places[known, :-1] = self._places[was[known], 1:]
        often[known, :-1] = self._seen[was[known], 1:]
        places[:, -1], often[:, -1] = centre_um, seen
        self._places, self._seen = places, often
        self._time_s = np.append(self._time_s[1:], time_s)
