"""How smooth courses are to be made: as smooth as the noise of the centres asks for.

The weight lam of `tracking.revisions.smoothing` is the variance of a measured centre
over that of the true second differences. Both show in the second differences d of the
measured centres at equal steps: noise of variance s^2 gives 6 s^2 to the mean of d_t^2,
and s^2 to that of d_t d_(t+2), to which neither steps that know nothing of each other
nor, but a little, persistent ones give anything.
"""

import numpy as np
from numpy.typing import NDArray

from tracking.revisions.smoothing import Places

SEEN = 5
"""Frames in a row that a track must be seen in to be learnt from."""
ASSUMED = 1.0
ENOUGH = 200
"""Products that must have been seen before they say anything."""
MEMORY = 20_000.0
"""About so many of the newest products count."""
MOST = 100.0
EVEN = 1.1
"""Steps are equal when the longest is no more than so many times the shortest."""


class Roughness:
    """Learns from all courses of a position."""

    def __init__(self) -> None:
        self._square_um2 = self._apart_um2 = self._count = 0.0

    @property
    def smoothness(self) -> float:
        """The weight lam, `ASSUMED` until enough is known."""
        if self._count < ENOUGH:
            return ASSUMED
        noise_um2 = max(self._apart_um2 / self._count, 0.0)
        bent_um2 = self._square_um2 / self._count - 6 * noise_um2
        least_um2 = max(noise_um2 / MOST, 1e-12)
        return noise_um2 / max(bent_um2, least_um2)

    def learn(
        self,
        time_s: NDArray[np.float64],
        places_um: Places,
        seen: NDArray[np.bool_],
    ) -> None:
        """Take in the newest frame, with the four before it.

        Parameters
        ----------
        time_s
            (frame,) of the window, the newest last.
        places_um, seen
            (track, frame, yx) and (track, frame).
        """
        steps = np.diff(time_s[-SEEN:])
        if steps.size < SEEN - 1 or steps.max() > EVEN * steps.min():
            return
        whole = seen[:, -SEEN:].all(axis=1)
        bends = np.diff(places_um[whole, -SEEN:], n=2, axis=1)  # (track, 3, yx)
        left = float(np.exp(-bends[:, 0].size / MEMORY))
        square = float((bends[:, -1] ** 2).sum())
        apart = float((bends[:, 0] * bends[:, -1]).sum())
        self._square_um2 = left * self._square_um2 + square
        self._apart_um2 = left * self._apart_um2 + apart
        self._count = left * self._count + bends[:, 0].size
