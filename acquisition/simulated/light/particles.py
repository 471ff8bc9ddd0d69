"""Dirt in the dish: debris that has settled among the cells, floaters above them."""

import numpy as np
from numpy.typing import NDArray

from acquisition.simulated.light.optics_kernels import add_spots
from acquisition.simulated.sections import Optics as OpticsSection

BIG_SHARE = 0.08
"""Share of the debris that is three times as large as the rest."""
CLUMP_SHARE = 0.04
"""Share of the debris that is a clump as large as a small cell."""
CLUMP_BITS = 7
FLOW_UM_PER_MIN = 4.0
"""Drift of a floater, one standard deviation an axis."""

Rows = NDArray[np.float64]
"""One spot a row: y, x, radius (um), height (rad)."""


class Particles:
    """All particles of one dish.

    Parameters
    ----------
    settings
        Numbers of debris and floaters, and the pixel.
    rng
        Fixes them.
    field_um
        Edge of the field in which they lie.
    """

    def __init__(
        self, settings: OpticsSection, rng: np.random.Generator, field_um: float
    ) -> None:
        self._pixel_um = settings.pixel_um
        self._field_um = field_um
        self._settled = _settled(rng, settings.debris_per_mm2, field_um)
        self._floating = _floating(rng, settings.floaters_per_mm2, field_um)
        self._flow = rng.normal(0, FLOW_UM_PER_MIN, (len(self._floating), 2))

    def add_to(
        self, phase: NDArray[np.float32], centre_um: tuple[float, float], minutes: float
    ) -> None:
        """Add them to a phase map (y, x) whose middle is at ``centre_um``, in place."""
        half = self._field_um / 2
        drifted = self._floating.copy()
        drifted[:, :2] += self._flow * minutes + half
        drifted[:, :2] = drifted[:, :2] % self._field_um - half
        spots = np.concatenate([self._settled, drifted])
        middle = (len(phase) - 1) / 2
        spots[:, :2] = (spots[:, :2] - centre_um) / self._pixel_um + middle
        spots[:, 2] /= self._pixel_um
        add_spots(phase, spots)


def _settled(rng: np.random.Generator, per_mm2: float, field_um: float) -> Rows:
    rows = _scattered(rng, per_mm2, field_um)
    count = len(rows)
    rows[:, 2] = rng.uniform(0.25, 0.8, count)
    rows[:, 2] *= np.where(rng.random(count) < BIG_SHARE, 3, 1)
    rows[:, 3] = rng.uniform(0.3, 1.1, count)
    clumps = rows[rng.random(count) < CLUMP_SHARE]
    return np.concatenate([rows, _clumps(rng, clumps)])


def _clumps(rng: np.random.Generator, centres: Rows) -> Rows:
    """Pieces of dead cells: uneven heaps of bits, without nucleus or outline."""
    bits = np.repeat(centres, CLUMP_BITS, axis=0)
    spread = np.repeat(rng.uniform(1.0, 3.2, len(centres)), CLUMP_BITS)
    bits[:, :2] += spread[:, None] * rng.standard_normal((len(bits), 2))
    bits[:, 2] = rng.uniform(0.7, 2.4, len(bits))
    bits[:, 3] = rng.uniform(0.15, 0.7, len(bits))
    return bits


def _floating(rng: np.random.Generator, per_mm2: float, field_um: float) -> Rows:
    rows = _scattered(rng, per_mm2, field_um)
    rows[:, 2] = rng.uniform(2, 7, len(rows))
    rows[:, 3] = rng.uniform(0.05, 0.25, len(rows))
    return rows


def _scattered(rng: np.random.Generator, per_mm2: float, field_um: float) -> Rows:
    count = rng.poisson(per_mm2 * (field_um / 1000) ** 2)
    rows = np.zeros((count, 4))
    rows[:, :2] = rng.uniform(-field_um / 2, field_um / 2, (count, 2))
    return rows
