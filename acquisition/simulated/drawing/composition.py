"""Putting the sprites of many cells into the maps of a view.

A sprite is drawn once and shown for minutes while its cell creeps on, so it is shifted
by the fraction of a pixel that the cell has moved and scaled to the mass of the
moment: place and dry mass are exact in every view, however old the drawing.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from acquisition.simulated.drawing.sprites import NUCLEUS

UNDER = 0.3
"""Share of a covered cell's phase that shows through its cover."""
NOBODY = 126
"""Rank of a pixel without an owner, above the rank of every drawn pixel."""

SpriteStore = tuple[
    NDArray[np.int32], NDArray[np.float32], NDArray[np.uint8], NDArray[np.int32]
]
"""Half edges (slot), phase (slot, y, x) and rank (slot, y, x) of all sprites, and where
the drawn part of each row begins and ends (slot, y, 2)."""
Maps = tuple[
    NDArray[np.float32], NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint8]
]
"""Phase (rad), cells (ids), nuclei (ids) and rank of a view, all (y, x)."""
Weights = tuple[np.float32, np.float32, np.float32]
"""Of the neighbour before, the pixel itself and the neighbour behind."""


def clear(maps: Maps) -> None:
    """Empty the maps."""
    phase, labels, nuclei, rank = maps
    phase.fill(0)
    labels.fill(0)
    nuclei.fill(0)
    rank.fill(NOBODY)


@njit(nogil=True, cache=True, error_model="numpy")
def find_spans(
    sprite: NDArray[np.float32],
    rank: NDArray[np.uint8],
    edge: int,
    spans: NDArray[np.int32],
) -> None:
    """Note where the drawn part of each row of a sprite begins and ends, (y, 2)."""
    for y in range(edge):
        first = 0
        while first < edge and sprite[y, first] == 0 and rank[y, first] == 0:
            first += 1
        last = edge
        while last > first and sprite[y, last - 1] == 0 and rank[y, last - 1] == 0:
            last -= 1
        # An empty row begins after its end, so that it widens no other.
        spans[y, 0] = first if last > first else edge
        spans[y, 1] = last if last > first else 0


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def weights(shift: float) -> Weights:
    """Weights of three neighbours on a parabola, for a shift by at most half a pixel.

    They keep the sum, and do not blur to second order.
    """
    d = np.float32(shift)
    half = np.float32(0.5)
    one = np.float32(1)
    return half * d * (d + one), one - d * d, half * d * (d - one)


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def shift_row(
    sprite: NDArray[np.float32],
    where: tuple[int, int, int, int],
    kernel: tuple[Weights, Weights],
    line: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Fill part of a row of a shifted sprite.

    ``where``: edge of the sprite, row, first and last column; ``kernel``: weights
    along y and x. Beyond the sprite, whose margin is empty, lies nothing.

    Steps: combine three rows into ``line``, wider by one at both ends; then three
    neighbours along it.
    """
    edge, y, first, last = where
    (a, b, c), (d, e, f) = kernel
    line[0] = line[edge + 1] = 0
    start = max(first - 1, 0)
    stop = min(last + 1, edge)
    above = sprite[max(y - 1, 0), start:stop]
    here = sprite[y, start:stop]
    below = sprite[min(y + 1, edge - 1), start:stop]
    part = line[start + 1 : stop + 1]
    for x in range(stop - start):
        part[x] = a * above[x] + b * here[x] + c * below[x]
    left = line[first:last]
    middle = line[first + 1 : last + 1]
    right = line[first + 2 : last + 2]
    for x in range(last - first):
        out[x] = d * left[x] + e * middle[x] + f * right[x]


@njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def compose(  # noqa: PLR0915 (fused kernel, steps in the docstring)
    corner: NDArray[np.int64],
    label: NDArray[np.uint16],
    slots: NDArray[np.int64],
    places: NDArray[np.float32],
    store: SpriteStore,
    maps: Maps,
) -> None:
    """Put the sprites into the maps of phase, cells, nuclei and rank.

    ``corner`` is the pixel (y, x) of the middle of each sprite, ``places`` (cell, 3)
    its shift (y, x in px, at most a half) and the factor on its phase.

    Steps for the drawn part of each row of each sprite: shift; where two cells meet,
    the one with the lower rank (nearer to its own middle) owns the pixel; the other
    shows through a little, for adherent cells abut rather than stack. Loops are parted
    by the width of their numbers, so that each runs on vectors.
    """
    halves, sprites, ranks, spans = store
    phase, labels, nuclei, rank = maps
    height, width = phase.shape
    largest = sprites.shape[1]
    value = np.empty(largest, np.float32)
    line = np.empty(largest + 2, np.float32)
    owns = np.empty(largest, np.uint8)
    frees = np.empty(largest, np.uint8)
    whole = np.float32(1)
    under = np.float32(UNDER)
    for n in range(len(slots)):
        slot = slots[n]
        edge = 2 * halves[slot] + 1
        top = corner[n, 0] - halves[slot]
        left = corner[n, 1] - halves[slot]
        kernel = (weights(places[n, 0]), weights(places[n, 1]))
        gain = places[n, 2]
        mark = label[n]
        for row in range(max(0, -top), min(edge, height - top)):
            first = edge
            last = 0
            for near in range(max(row - 1, 0), min(row + 2, edge)):
                first = min(first, spans[slot, near, 0])
                last = max(last, spans[slot, near, 1])
            first = max(first - 1, 0, -left)
            last = min(last + 1, edge, width - left)
            if last <= first:
                continue
            shift_row(sprites[slot], (edge, row, first, last), kernel, line, value)
            drawn = ranks[slot, row, first:last]
            phases = phase[top + row, left + first : left + last]
            owned = rank[top + row, left + first : left + last]
            for i in range(last - first):
                # An empty pixel, 0, becomes 127 and so never owns anything.
                mine = np.uint8((drawn[i] + 127) & 127)
                frees[i] = owned[i] == NOBODY
                owns[i] = mine < owned[i]
                owned[i] = min(mine, owned[i])
            for i in range(last - first):
                shared = whole if frees[i] else under
                new = whole if owns[i] else shared
                old = shared if owns[i] else whole
                phases[i] = new * gain * value[i] + old * phases[i]
            ids = labels[top + row, left + first : left + last]
            inner = nuclei[top + row, left + first : left + last]
            for i in range(last - first):
                inside = mark if drawn[i] & NUCLEUS else np.uint16(0)
                ids[i] = mark if owns[i] else ids[i]
                inner[i] = inside if owns[i] else inner[i]
