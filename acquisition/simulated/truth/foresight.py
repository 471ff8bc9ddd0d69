"""Where every cell will be: a second copy of the specimen lives ahead of the first.

The lattice makes the future of a seed exact, so the copy is not a forecast but the
truth. Only a dose that nobody planned changes it; then the copy starts again.
"""

import copy
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.simulated.specimen.dish import STEP_US, Specimen

HORIZONS_S: Final = (20.0, 60.0, 300.0, 1200.0, 3600.0)
"""How far ahead truth tells the places of the cells."""


@dataclass(frozen=True, slots=True)
class _Span:
    """All cells over one step of the lattice."""

    id: NDArray[np.uint32]  # (cell,) ascending
    start_um: NDArray[np.float64]  # (cell, yx)
    end_um: NDArray[np.float64]  # (cell, yx)


class Foresight:
    """Tells where the cells of a specimen will be.

    Parameters
    ----------
    specimen
        Is copied and left alone.
    """

    def __init__(self, specimen: Specimen) -> None:
        self._restart(specimen)

    def later_um(
        self, specimen: Specimen, ids: NDArray[np.uint32]
    ) -> NDArray[np.float64]:
        """Give centres (cell, horizon, yx) in the field, as seen from now.

        NaN where the id will have ended by then. ``specimen`` must be the one that was
        copied, no younger than at the last call.
        """
        if len(specimen.given) != self._doses:
            self._restart(specimen)
        self._forget(specimen.steps)
        found = np.full((len(ids), len(HORIZONS_S), 2), np.nan)
        for number, horizon_s in enumerate(HORIZONS_S):
            at_us = round(specimen.time_s * 1e6) + round(horizon_s * 1e6)
            span = self._span(at_us // STEP_US)
            row = np.minimum(np.searchsorted(span.id, ids), len(span.id) - 1)
            alive = span.id[row] == ids if len(span.id) else np.zeros(len(ids), bool)
            row = row[alive]
            share = at_us % STEP_US / STEP_US
            start = span.start_um[row]
            found[alive, number] = start + share * (span.end_um[row] - start)
        return found

    def _restart(self, specimen: Specimen) -> None:
        self._twin = copy.deepcopy(specimen)
        self._doses = len(specimen.given)
        self._first = specimen.steps
        self._spans: deque[_Span] = deque()

    def _forget(self, before: int) -> None:
        """Drop what is past, and let the copy catch up where it lies behind."""
        while self._spans and self._first < before:
            self._spans.popleft()
            self._first += 1
        if not self._spans:
            self._twin.advance_to(before * STEP_US / 1e6)
            self._first = max(self._first, before)

    def _span(self, step: int) -> _Span:
        while self._first + len(self._spans) <= step:
            ids = self._twin.ids().copy()
            self._spans.append(_Span(ids, *self._twin.span_um()))
            self._twin.advance_to((self._twin.steps + 1) * STEP_US / 1e6)
        return self._spans[step - self._first]
