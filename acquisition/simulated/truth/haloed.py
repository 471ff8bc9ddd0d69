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
    empty = np.empty((height // EVERY_PX + 1) * (width // EVERY_PX + 1) + 1)
    count = sum_phase(labels, field, direct, sums, empty)
    level = float(np.median(empty[:count])) if count >= LEAST_BACKGROUND else 0.0
    pixel_um2 = world.optics.pixel_um**2
    phase = sums[ids, 0] - level * sums[ids, 1]
    return np.asarray(phase * pixel_um2 / world.phase_rad_um2_per_pg)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def arc_tangents(
    y: NDArray[np.float32], x: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Fill the arc tangent of each y / x in its quadrant, to 2e-5 rad; 0 at nothing.

    Steps: reduce to the first octant, minimax polynomial, put the octant back. One
    loop without branches, so that it runs on vectors.
    """
    tiny = np.float32(1e-30)
    quarter, half = np.float32(math.pi / 2), np.float32(math.pi)
    for i in range(len(out)):
        ay, ax = abs(y[i]), abs(x[i])
        z = min(ax, ay) / (max(ax, ay) + tiny)
        s = z * z
        angle = np.float32(-0.0117212) * s + np.float32(0.05265332)
        angle = angle * s + np.float32(-0.11643287)
        angle = angle * s + np.float32(0.19354346)
        angle = angle * s + np.float32(-0.33262347)
        angle = (angle * s + np.float32(0.99997726)) * z
        angle = quarter - angle if ay > ax else angle
        angle = half - angle if x[i] < 0 else angle
        out[i] = -angle if y[i] < 0 else angle


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def sum_phase(
    labels: NDArray[np.uint16],
    field: NDArray[np.float32],
    direct: NDArray[np.float32],
    sums: NDArray[np.float64],
    empty: NDArray[np.float64],
) -> int:
    """Sum phase and pixels of every label, and list the phase of some empty pixels.

    Gives the number of empty pixels in the list.

    Steps for each row: interpolate the direct light between its blocks, along the row
    with weights found beforehand; phase of the field against it; sum it over runs of
    one label, and take one in `EVERY_PX` of the pixels without one.
    """
    height, width = labels.shape
    _, rows, columns = direct.shape
    block = width // columns
    left = np.empty(width, np.int64)
    right = np.empty(width, np.int64)
    share = np.empty(width, np.float32)
    for x in range(width):
        gx = (x + 0.5) / block - 0.5
        left[x] = min(max(math.floor(gx), 0), columns - 1)
        right[x] = min(max(math.floor(gx) + 1, 0), columns - 1)
        share[x] = gx - math.floor(gx)
    line = np.empty(columns, np.float32)
    wide = np.empty((2, width), np.float32)
    cross = np.empty((2, width), np.float32)
    phase = np.empty(width, np.float32)
    count = 0
    for y in range(height):
        gy = (y + 0.5) / block - 0.5
        weight = np.float32(gy - math.floor(gy))
        above = min(max(math.floor(gy), 0), rows - 1)
        below = min(max(math.floor(gy) + 1, 0), rows - 1)
        for part in range(2):
            for c in range(columns):
                low = direct[part, above, c]
                line[c] = low + weight * (direct[part, below, c] - low)
            for x in range(width):
                low = line[left[x]]
                wide[part, x] = low + share[x] * (line[right[x]] - low)
        real, imag = wide[0], wide[1]
        cosine, sine = field[0, y], field[1, y]
        for x in range(width):
            cross[0, x] = sine[x] * real[x] - cosine[x] * imag[x]
            cross[1, x] = cosine[x] * real[x] + sine[x] * imag[x]
        arc_tangents(cross[0], cross[1], phase)
        sum_runs(labels[y], phase, sums)
        for x in range(0, width if y % EVERY_PX == 0 else 0, EVERY_PX):
            empty[count] = phase[x]
            count += labels[y, x] == 0
    return count


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def sum_runs(
    labels: NDArray[np.uint16], phase: NDArray[np.float32], sums: NDArray[np.float64]
) -> None:
    """Add the phase of a row to the sums of its labels, run by run."""
    start = 0
    width = len(labels)
    while start < width:
        label = labels[start]
        stop = start + 1
        while stop < width and labels[stop] == label:
            stop += 1
        if 0 < label < len(sums):
            total = np.float32(0)
            for x in range(start, stop):
                total += phase[x]
            sums[label, 0] += total
            sums[label, 1] += stop - start
        start = stop
