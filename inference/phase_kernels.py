"""Fused loops of the phase retrieval: one pass over the four steps each.

With the four steps I0 to I3 (phase of the direct light shifted by 0, 90, 180 and 270
degrees) all of them use X = (I0 - I2) / 4 and Y = sign (I1 - I3) / 4, so that
X + iY = t L U0* U1, and S, the mean of the four, which is t^2 L |U0|^2 + L |U1|^2.
U0 is the direct and U1 the scattered field, t the amplitude transmission of the ring,
L the illumination.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.records import PHASE_RAD_PER_COUNT, PHASE_ZERO_COUNT

Floats = NDArray[np.float32]
Counts = NDArray[np.uint16]

ROW_STEP = 4
"""The coarse grid looks at every fourth row, which is noise-free enough."""

_QUARTER = np.float32(0.25)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)
_TINY = np.float32(1e-20)
_HALF_PI = np.float32(np.pi / 2)
_PI = np.float32(np.pi)
_COUNTS_PER_RAD = np.float32(1.0 / PHASE_RAD_PER_COUNT)
_ROUNDED_ZERO = np.float32(PHASE_ZERO_COUNT + 0.5)
_LARGEST = np.float32(65535.0)

# Minimax fit of arctan(z) / z in z^2 on [0, 1]; absolute error below 1e-6.
_C0 = np.float32(0.0)
_C1 = np.float32(0.0)
