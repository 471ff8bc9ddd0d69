"""The dry mass that a phase image gives, halo and all, as against the true one.

Without noise the four steps retrieve the phase between the whole field ``U`` and the
direct light ``U0``, ``arg(U conj(U0))``. The direct light is a blurred image of the
specimen, so that a part of every cell's phase is lost to its halo.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.world import World

EVERY_PX = 7
"""The background is taken from one pixel in this many, along both axes."""
LEAST_BACKGROUND = 50


def haloed_masses_pg(
    labels: NDArray[np.uint16],
    ids: NDArray[np.uint32],
    field: NDArray[np.float32],
    direct: NDArray[np.float32],
    world: World,
) -> NDArray[np.float64]:
    """Give the dry mass of each cell in a retrieved phase image without noise.

    Parameters
    ----------
    labels
        (y, x) ids; a cell's mass is summed over the pixels that it owns.
    ids
        (cell,) those that are wanted.
    field
        (part, y, x) real and imaginary part of the whole field.
    direct
        (part, by, bx) the same of the direct light, averaged over blocks.
    world
        Gives the phase of a mass.
    """
    largest = int(ids.max(initial=0))
    sums = np.zeros((largest + 1, 2))
    height, width = labels.shape
    empty = np.full((height // EVERY_PX + 1) * (width // EVERY_PX + 1), np.nan)
    count = sum_phase(labels, field, direct, sums, empty)
    level = float(np.median(empty[:count])) if count >= LEAST_BACKGROUND else 0.0
    pixel_um2 = world.optics.pixel_um**2
    phase = sums[ids, 0] - level * sums[ids, 1]
    return np.asarray(phase * pixel_um2 / world.phase_rad_um2_per_pg)


@njit(nogil=True, cache=True, fastmath=True)
def fast_atan2(y: float, x: float) -> float:
    """Arc tangent of y / x in its quadrant, to 1e-5 rad.

    Steps: reduce to the first octant, minimax polynomial, put the octant back.
    """
    ay, ax = abs(y), abs(x)
    small, large = min(ax, ay), max(ax, ay)
    if large == 0:
        return 0.0
    z = small / large
    s = z * z
    angle = -0.0117212 * s + 0.05265332
    angle = angle * s - 0.11643287
    angle = angle * s + 0.19354346
    angle = angle * s - 0.33262347
    angle = (angle * s + 0.99997726) * z
    if ay > ax:
        angle = math.pi / 2 - angle
    if x < 0:
        angle = math.pi - angle
    return -angle if y < 0 else angle


@njit(nogil=True, cache=True, fastmath=True)
def sum_phase(
    labels: NDArray[np.uint16],
    field: NDArray[np.float32],
    direct: NDArray[np.float32],
    sums: NDArray[np.float64],
    empty: NDArray[np.float64],
) -> int:
    """Sum phase and pixels of every label, and list the phase of some empty pixels.

    Gives the number of empty pixels in the list.

    Steps for each row: interpolate the direct light between its blocks; phase of the
    field against it, at pixels with a label and at one in `EVERY_PX` of the others.
    """
    height, width = labels.shape
    _, rows, columns = direct.shape
    block = width // columns
    line = np.empty((2, columns), np.float32)
    count = 0
    for y in range(height):
        gy = (y + 0.5) / block - 0.5
        y0 = math.floor(gy)
        wy = np.float32(gy - y0)
        ya = min(max(y0, 0), rows - 1)
        yb = min(max(y0 + 1, 0), rows - 1)
        for part in range(2):
            for c in range(columns):
                low = direct[part, ya, c]
                line[part, c] = low + wy * (direct[part, yb, c] - low)
        for x in range(width):
            label = labels[y, x]
            if label == 0 and (y % EVERY_PX or x % EVERY_PX):
                continue
            gx = (x + 0.5) / block - 0.5
            x0 = math.floor(gx)
            wx = np.float32(gx - x0)
            xa = min(max(x0, 0), columns - 1)
            xb = min(max(x0 + 1, 0), columns - 1)
            real = line[0, xa] + wx * (line[0, xb] - line[0, xa])
            imag = line[1, xa] + wx * (line[1, xb] - line[1, xa])
            c, s = field[0, y, x], field[1, y, x]
            phase = fast_atan2(s * real - c * imag, c * real + s * imag)
            if label == 0:
                empty[count] = phase
                count += 1
            elif label < len(sums):
                sums[label, 0] += phase
                sums[label, 1] += 1
    return count
