"""From a separation map to instances: a watershed that merges shallow maxima.

One descent from 255 to 0 does both. Every maximum starts a region; regions grow in the
order of the levels, first come first served within a level. Where two regions meet at a
saddle and the lower of their maxima rises less than the wanted height above it, they
become one (Grimaud, Proc. SPIE 1769, 292, 1992, "dynamics"); otherwise they stay two
cells. The result is that of h-maxima followed by a watershed with them as markers.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

BORDER = -1
"""Region number of pixels that are no cell, and of the rim around the grid."""


@njit(nogil=True, cache=True)
def flood(
    height: NDArray[np.uint8],
    foreground: NDArray[np.bool_],
    min_height: float,
    min_area_px: float,
) -> tuple[NDArray[np.uint16], int]:
    """Part the foreground (y, x) into labels (y, x), from 1 in reading order.

    ``min_height`` is in levels of ``height``. Objects of less than ``min_area_px``
    pixels are left out. Also gives the number of labels; beyond 65535 the labels have
    overflown and must not be used.

    Steps: copy into arrays with a rim; count the pixels of every level; start regions
    at the maxima; descend; number the regions.
    """
    rows, columns = height.shape
    region = np.full((rows + 2, columns + 2), BORDER, np.int32)
    level = np.zeros((rows + 2, columns + 2), np.uint8)
    first = np.zeros(257, np.int64)  # place in the queue; highest level first
    for y in range(rows):
        for x in range(columns):
            if foreground[y, x]:
                region[y + 1, x + 1] = 0
                level[y + 1, x + 1] = height[y, x]
                first[256 - np.int64(height[y, x])] += 1
    first = np.cumsum(first)
    fill = first.copy()
    queue = np.empty(first[256], np.int32)
    parent = np.zeros(first[256] + 1, np.int32)
    peak = np.zeros(first[256] + 1, np.uint8)
    flat_region, flat_level, stride = region.ravel(), level.ravel(), columns + 2
    _start(flat_region, flat_level, stride, (queue, fill), (parent, peak))
    steps = (-stride, -1, 1, stride)
    for place in range(queue.size):
        pixel = queue[place]
        here = flat_level[pixel]
        own = flat_region[pixel]
        for step in steps:
            other = flat_region[pixel + step]
            if other == 0:
                flat_region[pixel + step] = own
                bucket = 255 - np.int64(flat_level[pixel + step])
                queue[fill[bucket]] = pixel + step
                fill[bucket] += 1
            elif other > 0 and other != own and flat_level[pixel + step] >= here:
                _meet(own, other, np.float64(here) + min_height, (parent, peak))
    return _number(region, parent, min_area_px)


@njit(nogil=True, cache=True)
def _start(
    region: NDArray[np.int32],
    level: NDArray[np.uint8],
    stride: int,
    waiting: tuple[NDArray[np.int32], NDArray[np.int64]],
    forest: tuple[NDArray[np.int32], NDArray[np.uint8]],
) -> None:
    """Start a region at every pixel that no neighbour exceeds, and queue the pixel.

    Equal neighbours share a region where reading order shows it; what a plateau is
    split into otherwise meets at no depth at all and is merged at once.
    """
    queue, fill = waiting
    parent, peak = forest
    count = 0
    for pixel in range(stride, region.size - stride):
        if region[pixel] == BORDER:
            continue
        here = level[pixel]
        above, left = pixel - stride, pixel - 1
        if (
            level[above] > here
            or level[left] > here
            or level[pixel + 1] > here
            or level[pixel + stride] > here
        ):
            continue
        if region[left] > 0:
            own = region[left]
        elif region[above] > 0:
            own = region[above]
        else:
            count += 1
            own = count
            parent[own] = own
            peak[own] = here
        region[pixel] = own
        bucket = 255 - np.int64(here)
        queue[fill[bucket]] = pixel
        fill[bucket] += 1


@njit(nogil=True, cache=True)
def _root(parent: NDArray[np.int32], region: int) -> int:
    """Find the region that a region was merged into, and shorten the way there."""
    while parent[region] != region:
        parent[region] = parent[parent[region]]
        region = parent[region]
    return region


@njit(nogil=True, cache=True)
def _meet(
    one: int,
    other: int,
    needed: float,
    forest: tuple[NDArray[np.int32], NDArray[np.uint8]],
) -> None:
    """Merge two regions unless both their maxima reach ``needed``."""
    parent, peak = forest
    one, other = _root(parent, one), _root(parent, other)
    if peak[one] < peak[other]:
        one, other = other, one
    if one != other and peak[other] < needed:
        parent[other] = one


@njit(nogil=True, cache=True)
def _number(
    region: NDArray[np.int32], parent: NDArray[np.int32], min_area_px: float
) -> tuple[NDArray[np.uint16], int]:
    """Give labels (y, x), without rim and small objects, and their number."""
    rows, columns = region.shape[0] - 2, region.shape[1] - 2
    area = np.zeros(parent.size, np.int64)
    for y in range(rows):
        for x in range(columns):
            own = region[y + 1, x + 1]
            if own > 0:
                own = _root(parent, own)
                region[y + 1, x + 1] = own
                area[own] += 1
    labels = np.zeros((rows, columns), np.uint16)
    name = np.zeros(parent.size, np.int64)
    count = 0
    for y in range(rows):
        for x in range(columns):
            own = region[y + 1, x + 1]
            if own > 0 and area[own] >= min_area_px:
                if name[own] == 0:
                    count += 1
                    name[own] = count
                labels[y, x] = name[own]
    return labels, count
