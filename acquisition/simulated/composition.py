"""Putting the sprites of many cells into the maps of a view.

A sprite is drawn once and shown for minutes while its cell creeps on, so it is shifted
by the fraction of a pixel that the cell has moved and scaled to the mass of the
moment: place and dry mass are exact in every view, however old the drawing.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.sprites import NUCLEUS

UNDER = 0.3
"""Share of a covered cell's phase that shows through its cover."""
NOBODY = 126
"""Rank of a pixel without an owner, above the rank of every drawn pixel."""

SpriteStore = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.uint8]]
"""Half edges (slot), phase (slot, y, x) and rank (slot, y, x) of all sprites."""
Maps = tuple[
    NDArray[np.float32], NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint8]
]
"""Phase (rad), cells (ids), nuclei (ids) and rank of a view, all (y, x)."""


def clear(maps: Maps) -> None:
    """Empty the maps."""
    phase, labels, nuclei, rank = maps
    phase.fill(0)
    labels.fill(0)
    nuclei.fill(0)
    rank.fill(NOBODY)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def shift_sprite(
    sprite: NDArray[np.float32],
    edge: int,
    place: NDArray[np.float32],
    line: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Shift a sprite by at most half a pixel and scale it, into ``out`` (y, x).

    ``edge`` is the part of both that is in use; ``place`` holds the shift (y, x in px)
    and the factor. A parabola through three neighbours keeps the sum, and does not
    blur to second order.

    Steps for each row: combine three rows into ``line``, then three columns; beyond
    the sprite, whose margin is empty, lies nothing.
    """
    half = np.float32(0.5)
    one = np.float32(1)
    dy, dx, gain = place[0], place[1], place[2]
    a = gain * dy * (dy + one) * half
    b = gain * (one - dy * dy)
    c = gain * dy * (dy - one) * half
    d = dx * (dx + one) * half
    e = one - dx * dx
    f = dx * (dx - one) * half
    line[0] = line[edge + 1] = 0
    left = line[:edge]
    middle = line[1 : edge + 1]
    right = line[2 : edge + 2]
    for y in range(edge):
        # Whole rows of the array, for the loops below run on vectors only along them.
        above = sprite[max(y - 1, 0), :edge]
        here = sprite[y, :edge]
        below = sprite[min(y + 1, edge - 1), :edge]
        for x in range(edge):
            middle[x] = a * above[x] + b * here[x] + c * below[x]
        row = out[y, :edge]
        for x in range(edge):
            row[x] = d * left[x] + e * middle[x] + f * right[x]


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def compose(
    corner: NDArray[np.int64],
    label: NDArray[np.uint16],
    slots: NDArray[np.int64],
    places: NDArray[np.float32],
    store: SpriteStore,
    maps: Maps,
) -> None:
    """Put the sprites into the maps of phase, cells, nuclei and rank.

    ``corner`` is the pixel (y, x) of the middle of each sprite, ``places`` (cell, 3)
    its shift and factor for :func:`shift_sprite`.

    Steps for each row of each sprite: where two cells meet, the one with the lower
    rank (nearer to its own middle) owns the pixel; the other shows through a little,
    for adherent cells abut rather than stack. One loop for each map, so that each of
    them runs on vectors.
    """
    halves, sprites, ranks = store
    phase, labels, nuclei, rank = maps
    height, width = phase.shape
    largest = sprites.shape[1]
    shifted = np.empty((largest, largest), np.float32)
    line = np.empty(largest + 2, np.float32)
    owns = np.empty(largest, np.uint8)
    frees = np.empty(largest, np.uint8)
    whole = np.float32(1)
    under = np.float32(UNDER)
    for n in range(len(slots)):
        edge = 2 * halves[slots[n]] + 1
        top = corner[n, 0] - halves[slots[n]]
        left = corner[n, 1] - halves[slots[n]]
        first = max(0, -left)
        last = min(edge, width - left)
        if last <= first:
            continue
        shift_sprite(sprites[slots[n]], edge, places[n], line, shifted)
        mark = label[n]
        for row in range(max(0, -top), min(edge, height - top)):
            drawn = ranks[slots[n], row, first:last]
            value = shifted[row, first:last]
            phases = phase[top + row, left + first : left + last]
            owned = rank[top + row, left + first : left + last]
            for i in range(last - first):
                # An empty pixel, 0, becomes 127 and so never owns anything.
                owns[i] = np.uint8((drawn[i] + 127) & 127) < owned[i]
                frees[i] = owned[i] == NOBODY
            for i in range(last - first):
                shared = whole if frees[i] else under
                new = whole if owns[i] else shared
                old = shared if owns[i] else whole
                phases[i] = new * value[i] + old * phases[i]
            ids = labels[top + row, left + first : left + last]
            for i in range(last - first):
                ids[i] = mark if owns[i] else ids[i]
            ids = nuclei[top + row, left + first : left + last]
            for i in range(last - first):
                mine = mark if drawn[i] & NUCLEUS else np.uint16(0)
                ids[i] = mine if owns[i] else ids[i]
            for i in range(last - first):
                owned[i] = np.uint8((drawn[i] + 127) & 127) if owns[i] else owned[i]
