"""Fused loops of the phase retrieval, each one pass over the four steps.

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

BLOCK_PX = 16
"""Edge of the blocks of the coarse grid."""
ROW_STEP = 4
"""The coarse grid looks at every fourth row: 64 pixels a block are quiet enough."""
LOWEST_PHASE_RAD = -1.5
"""Nothing is thinner than this (the halo reaches -0.4): a lower phase has wrapped."""

_QUARTER = np.float32(0.25)
_HALF = np.float32(0.5)
_ZERO = np.float32(0.0)
_TINY = np.float32(1e-20)
_TURN = np.float32(2 * np.pi)
_LOWEST = np.float32(LOWEST_PHASE_RAD)
_HALF_PI = np.float32(np.pi / 2)
_PI = np.float32(np.pi)
_COUNTS_PER_RAD = np.float32(1.0 / PHASE_RAD_PER_COUNT)
_ROUNDED_ZERO = np.float32(PHASE_ZERO_COUNT + 0.5)
_LARGEST = np.float32(65535.0)

# Minimax fit of arctan(z) / z in powers of z^2 on [0, 1]: error below 4e-7 rad.
_A0 = np.float32(0.999996111)
_A1 = np.float32(-0.333173679)
_A2 = np.float32(0.198078141)
_A3 = np.float32(-0.132333369)
_A4 = np.float32(0.079623585)
_A5 = np.float32(-0.033604149)
_A6 = np.float32(0.006811771)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def block_means(steps: Counts, offset: float, means: Floats) -> None:
    """Fill ``means`` (4, by, bx) with block means: S, X, (I1 - I3) / 4, its square.

    ``offset`` (counts) is what the camera adds without light; it leaves S.
    """
    height, width = steps.shape[1:]
    for by in range(means.shape[1]):
        y_end = min((by + 1) * BLOCK_PX, height)
        for bx in range(means.shape[2]):
            x0 = bx * BLOCK_PX
            x_end = min(x0 + BLOCK_PX, width)
            total = in_phase = quadrature = square = _ZERO
            rows = 0
            for y in range(by * BLOCK_PX, y_end, ROW_STEP):
                rows += 1
                for x in range(x0, x_end):
                    i0 = np.float32(steps[0, y, x])
                    i1 = np.float32(steps[1, y, x])
                    i2 = np.float32(steps[2, y, x])
                    i3 = np.float32(steps[3, y, x])
                    total += i0 + i1 + i2 + i3
                    in_phase += i0 - i2
                    quadrature += i1 - i3
                    square += (i1 - i3) * (i1 - i3)
            share = _QUARTER / np.float32(rows * (x_end - x0))
            means[0, by, bx] = total * share - np.float32(offset)
            means[1, by, bx] = in_phase * share
            means[2, by, bx] = quadrature * share
            means[3, by, bx] = square * share * _QUARTER


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def direct_light(steps: Counts, offset: float, guess: Floats, sums: Floats) -> None:
    """Refine ``guess`` (by, bx) of A = t^2 L |U0|^2 by the root next to it, per pixel.

    A and B = L |U1|^2 have the sum S and the product X^2 + Y^2, so they are the roots
    of x^2 - S x + X^2 + Y^2. Every pixel gives the root nearer to the guess, weighted
    by the squared distance of the two roots (where they meet, noise decides).
    ``sums`` (2, by, bx) receives weighted roots over the guess, and weights, both as
    means over the block.
    """
    height, width = steps.shape[1:]
    for by in range(guess.shape[0]):
        y_end = min((by + 1) * BLOCK_PX, height)
        for bx in range(guess.shape[1]):
            x0 = bx * BLOCK_PX
            x_end = min(x0 + BLOCK_PX, width)
            middle = guess[by, bx]
            weighted = weights = _ZERO
            rows = 0
            for y in range(by * BLOCK_PX, y_end, ROW_STEP):
                rows += 1
                for x in range(x0, x_end):
                    i0 = np.float32(steps[0, y, x])
                    i1 = np.float32(steps[1, y, x])
                    i2 = np.float32(steps[2, y, x])
                    i3 = np.float32(steps[3, y, x])
                    s = (i0 + i1 + i2 + i3) * _QUARTER - np.float32(offset)
                    across = (i0 - i2) * (i0 - i2) + (i1 - i3) * (i1 - i3)
                    squared = s * s - across * _QUARTER
                    squared = squared if squared > _ZERO else _ZERO
                    half = np.sqrt(squared) * _HALF
                    root = s * _HALF
                    root = root + half if middle > root else root - half
                    weight = squared / (s * s + _TINY)
                    weighted += root * weight
                    weights += weight
            share = np.float32(1.0) / np.float32(rows * (x_end - x0))
            sums[0, by, bx] = weighted * share / middle
            sums[1, by, bx] = weights * share


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def coded_phase(
    steps: Counts, direct: Floats, tilt: Floats, gain_yx: tuple[float, float]
) -> Counts:
    """Give the coded phase (y, x): arctan2(t Y, A + t X) less the background phase.

    ``direct`` is A in counts, ``tilt`` the background phase in rad, both (y, x) with
    BLOCK_PX more on every side; ``gain_yx`` is (sign t / 4, t / 4).

    Steps per pixel: the two differences, arctan2 by octant reduction and a polynomial,
    background, one turn more where the phase has wrapped, coding, limits.
    """
    height, width = steps.shape[1:]
    coded = np.empty((height, width), np.uint16)
    gain_y = np.float32(gain_yx[0])
    gain_x = np.float32(gain_yx[1])
    for y in range(height):
        for x in range(width):
            real = direct[y + BLOCK_PX, x + BLOCK_PX] + gain_x * (
                np.float32(steps[0, y, x]) - np.float32(steps[2, y, x])
            )
            imag = gain_y * (np.float32(steps[1, y, x]) - np.float32(steps[3, y, x]))
            re = abs(real)
            im = abs(imag)
            z = (im if im < re else re) / ((re if im < re else im) + _TINY)
            q = z * z
            angle = _A5 + q * _A6
            angle = _A3 + q * (_A4 + q * angle)
            angle = z * (_A0 + q * (_A1 + q * (_A2 + q * angle)))
            angle = _HALF_PI - angle if im > re else angle
            angle = _PI - angle if real < _ZERO else angle
            angle = -angle if imag < _ZERO else angle
            angle -= tilt[y + BLOCK_PX, x + BLOCK_PX]
            angle = angle + _TURN if angle < _LOWEST else angle
            count = angle * _COUNTS_PER_RAD + _ROUNDED_ZERO
            count = count if count > _ZERO else _ZERO
            count = count if count < _LARGEST else _LARGEST
            coded[y, x] = np.uint16(np.int32(count))
    return coded
